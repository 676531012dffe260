//! When an open batch is sealed. The clock is passed in.

/// Limits of a batch; whichever is reached first seals it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushLimits {
    /// Age of the oldest record in the batch, in milliseconds since it was read.
    pub age_ms_max: u64,
    /// Rows and rejects.
    pub records_max: u64,
    /// Bytes of memory held for the batch that cannot be made less.
    pub bytes_max: u64,
}

/// What an open batch holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Milliseconds since the first record was read; 0 while nothing was.
    pub age_ms: u64,
    /// Rows and rejects.
    pub records: u64,
    /// Bytes of memory that cannot be made less while the batch is open.
    pub bytes: u64,
}

/// Why a batch is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// It is old enough.
    Age,
    /// It has enough records.
    Records,
    /// It holds enough memory.
    Bytes,
}

impl FlushLimits {
    /// Whether to seal now. A batch without records is never sealed: nothing read, nothing committed.
    #[must_use]
    pub fn seal(&self, fill: Fill) -> Option<Seal> {
        if fill.records == 0 {
            None
        } else if fill.bytes >= self.bytes_max {
            Some(Seal::Bytes)
        } else if fill.records >= self.records_max {
            Some(Seal::Records)
        } else if fill.age_ms >= self.age_ms_max {
            Some(Seal::Age)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FlushLimits = FlushLimits { age_ms_max: 5_000, records_max: 100, bytes_max: 1_000 };

    #[test]
    fn the_first_limit_that_is_reached_seals() {
        let fill = |age_ms, records, bytes| Fill { age_ms, records, bytes };
        assert_eq!(LIMITS.seal(fill(4_999, 99, 999)), None);
        assert_eq!(LIMITS.seal(fill(5_000, 1, 1)), Some(Seal::Age));
        assert_eq!(LIMITS.seal(fill(0, 100, 1)), Some(Seal::Records));
        assert_eq!(LIMITS.seal(fill(0, 1, 1_000)), Some(Seal::Bytes));
    }

    #[test]
    fn a_batch_without_records_is_never_sealed() {
        assert_eq!(LIMITS.seal(Fill { age_ms: 60_000, records: 0, bytes: 2_000 }), None);
    }
}
