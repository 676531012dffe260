//! What a run, or many, went through: schedules, events, simulated time, faults, and which fault met which effect.

use std::fmt;

/// Something that goes wrong, or that somebody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Crash,
    Freeze,
    Sigterm,
    Rebalance,
    TaskStall,
    RequestLost,
    AnswerLost,
    AppliedLate,
    Twice,
    TwiceAnsweredLast,
    ErrorBefore,
    ErrorAfter,
    SpuriousConflict,
    Refused,
    SlowAnswer,
    PutFails,
    LettersFail,
    BuildFails,
    KafkaSilent,
    Retention,
    TopicRecreated,
    LogTruncated,
    PartitionsAdded,
    GroupOffsetsGone,
    ForeignAppend,
    ForeignOptimize,
    Compaction,
    Sweep,
    TableRecreated,
    Restored,
    RolledBack,
    Expired,
    PropertyGarbled,
    Overruled,
}

impl Fault {
    pub(crate) const ALL: [Self; 34] = [
        Self::Crash,
        Self::Freeze,
        Self::Sigterm,
        Self::Rebalance,
        Self::TaskStall,
        Self::RequestLost,
        Self::AnswerLost,
        Self::AppliedLate,
        Self::Twice,
        Self::TwiceAnsweredLast,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::SpuriousConflict,
        Self::Refused,
        Self::SlowAnswer,
        Self::PutFails,
        Self::LettersFail,
        Self::BuildFails,
        Self::KafkaSilent,
        Self::Retention,
        Self::TopicRecreated,
        Self::LogTruncated,
        Self::PartitionsAdded,
        Self::GroupOffsetsGone,
        Self::ForeignAppend,
        Self::ForeignOptimize,
        Self::Compaction,
        Self::Sweep,
        Self::TableRecreated,
        Self::Restored,
        Self::RolledBack,
        Self::Expired,
        Self::PropertyGarbled,
        Self::Overruled,
    ];
}

/// Something that a machine asked for and that is not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    Boot,
    Locate,
    Survey,
    Letters,
    Put,
    Load,
    Build,
    Post,
    Wait,
    Backoff,
    Drain,
}

impl Pending {
    pub(crate) const ALL: [Self; 11] = [
        Self::Boot,
        Self::Locate,
        Self::Survey,
        Self::Letters,
        Self::Put,
        Self::Load,
        Self::Build,
        Self::Post,
        Self::Wait,
        Self::Backoff,
        Self::Drain,
    ];

    /// Its bit, for sets.
    pub(crate) fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs.
    pub schedules: u64,
    /// Events before the calm.
    pub events: u64,
    /// Events in the calm, until everything was in the table.
    pub calm_events: u64,
    /// Simulated time in milliseconds.
    pub simulated_ms: u64,
    /// Records that Kafka acknowledged.
    pub records: u64,
    /// Commits of batches that were applied.
    pub commits: u64,
    /// Batches that were fenced.
    pub fenced: u64,
    /// Halts that an operator saw.
    pub halts: u64,
    /// Records that Kafka lost while nobody looked, as its log was cut and had grown again past the position.
    pub blind: u64,
    /// Longest calm until everything was in the table, in milliseconds.
    pub calm_ms_max: u64,
    faults: Vec<u64>,
    pairs: Vec<u16>,
}

impl Tally {
    /// Of one run.
    pub(crate) fn of_one() -> Self {
        Self { schedules: 1, ..Self::default() }
    }

    /// A fault while all that is in the set was not answered yet.
    pub(crate) fn fault(&mut self, fault: Fault, pending: u16) {
        self.faults.resize(Fault::ALL.len(), 0);
        self.pairs.resize(Fault::ALL.len(), 0);
        self.faults[fault as usize] += 1;
        self.pairs[fault as usize] |= pending;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.events += other.events;
        self.calm_events += other.calm_events;
        self.simulated_ms += other.simulated_ms;
        self.records += other.records;
        self.commits += other.commits;
        self.fenced += other.fenced;
        self.halts += other.halts;
        self.blind += other.blind;
        self.calm_ms_max = self.calm_ms_max.max(other.calm_ms_max);
        self.faults.resize(Fault::ALL.len(), 0);
        self.pairs.resize(Fault::ALL.len(), 0);
        self.faults.iter_mut().zip(&other.faults).for_each(|(sum, more)| *sum += more);
        self.pairs.iter_mut().zip(&other.pairs).for_each(|(set, more)| *set |= more);
    }

    /// Pairs of an effect and a fault that met, and how many there can be.
    #[must_use]
    pub fn pairs(&self) -> (u32, u32) {
        Fault::ALL.into_iter().fold((0, 0), |(met, all), fault| {
            let possible = possible(fault);
            (met + (self.met(fault) & possible).count_ones(), all + possible.count_ones())
        })
    }

    fn met(&self, fault: Fault) -> u16 {
        self.pairs.get(fault as usize).copied().unwrap_or(0)
    }

    /// Faults that never happened.
    #[must_use]
    pub fn unseen(&self) -> Vec<String> {
        let seen = |fault: &Fault| self.faults.get(*fault as usize).is_some_and(|&times| times > 0);
        Fault::ALL.iter().filter(|fault| !seen(fault)).map(|fault| format!("{fault:?}")).collect()
    }
}

/// What can meet: what happens to one call of the catalog meets that call only; a PUT fails while it is on its way; and the
/// world's faults can meet anything.
fn possible(fault: Fault) -> u16 {
    let of = |list: &[Pending]| list.iter().fold(0, |set, pending| set | pending.bit());
    match fault {
        Fault::RequestLost | Fault::ErrorBefore | Fault::SlowAnswer => {
            of(&[Pending::Boot, Pending::Locate, Pending::Load, Pending::Post])
        }
        Fault::AnswerLost
        | Fault::AppliedLate
        | Fault::Twice
        | Fault::TwiceAnsweredLast
        | Fault::ErrorAfter
        | Fault::SpuriousConflict
        | Fault::Refused => of(&[Pending::Post]),
        Fault::PutFails => of(&[Pending::Put]),
        Fault::LettersFail => of(&[Pending::Letters]),
        Fault::BuildFails => of(&[Pending::Build]),
        Fault::KafkaSilent => of(&[Pending::Locate, Pending::Survey]),
        _ => of(&Pending::ALL),
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.simulated_ms as f64 / 86_400_000.0;
        writeln!(
            f,
            "{} schedules, {} events ({} more until calm), {days:.1} days simulated",
            self.schedules, self.events, self.calm_events
        )?;
        writeln!(
            f,
            "{} records, {} commits, {} batches fenced, {} halts, longest way to calm {} s, {} records lost by kafka unseen",
            self.records,
            self.commits,
            self.fenced,
            self.halts,
            self.calm_ms_max / 1000,
            self.blind
        )?;
        for fault in Fault::ALL {
            let times = self.faults.get(fault as usize).copied().unwrap_or(0);
            let open = possible(fault) & !self.met(fault);
            let missing: Vec<_> = Pending::ALL.into_iter().filter(|pending| open & pending.bit() != 0).collect();
            let missing = if missing.is_empty() { String::new() } else { format!("  never during {missing:?}") };
            writeln!(f, "  {:<18}{times:>10}{missing}", format!("{fault:?}"))?;
        }
        let (covered, all) = self.pairs();
        write!(f, "{covered} of {all} pairs (effect, fault) covered")
    }
}
