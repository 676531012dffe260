//! Entries in the order of their partitions, cut into manifests, in bounded memory.
//!
//! Entries come in manifest by manifest, in the order of the partitions that those begin with. So many are held that
//! those of one day come together although they lie in many manifests; when there are more, the lower half goes out. What
//! is left of a cut is held back, so that only the last manifest is not full.
//!
//! Pure. Called by [`super::stage`].

use super::facts::Key;

/// Entries held at most, beside those of the manifest that is being read: some tens of megabytes.
const HELD_MAX: usize = 4_000;

/// Entries that wait for their manifest.
#[derive(Debug)]
pub(super) struct Packer<T> {
    held: Vec<(Key, T)>,
    held_max: usize,
}

impl<T> Packer<T> {
    pub(super) fn new() -> Self {
        Self::holding(HELD_MAX)
    }

    fn holding(held_max: usize) -> Self {
        Self { held: Vec::new(), held_max }
    }

    pub(super) fn push(&mut self, key: Key, entry: T) {
        self.held.push((key, entry));
    }

    /// Whether some must go out before more come in.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() > self.held_max
    }

    /// What is held, to measure it.
    pub(super) fn held(&self) -> impl Iterator<Item = &T> {
        self.held.iter().map(|(_, entry)| entry)
    }

    /// The lower half, as manifests of exactly so many entries, if more is held than should be.
    pub(super) fn overflow(&mut self, entries: usize) -> Vec<Vec<T>> {
        let held = self.held.len();
        if !self.is_full() {
            return Vec::new();
        }
        self.lowest((held / 2 / entries).max(1).min(held / entries) * entries, entries)
    }

    /// All that is left; the last manifest may be smaller.
    pub(super) fn rest(&mut self, entries: usize) -> Vec<Vec<T>> {
        self.lowest(self.held.len(), entries)
    }

    fn lowest(&mut self, count: usize, entries: usize) -> Vec<Vec<T>> {
        // Stable: within a partition, entries stay in the order in which they came.
        self.held.sort_by(|(a, _), (b, _)| a.order(b));
        let mut lowest = self.held.drain(..count).map(|(_, entry)| entry);
        let manifest = || Some(lowest.by_ref().take(entries).collect()).filter(|entries: &Vec<T>| !entries.is_empty());
        std::iter::from_fn(manifest).collect()
    }
}

#[cfg(test)]
mod tests {
    use iceberg::spec::PrimitiveLiteral;

    use super::*;

    /// Packs days that come in manifests, and tells the days of each manifest that goes out and the most held.
    fn pack(manifests: &[Vec<i32>], held_max: usize, entries: usize) -> (Vec<Vec<i32>>, usize) {
        let (mut packer, mut out, mut most) = (Packer::holding(held_max), Vec::new(), 0);
        for days in manifests {
            for &day in days {
                packer.push(Key(vec![Some(PrimitiveLiteral::Int(day))]), day);
            }
            most = most.max(packer.held().count());
            out.extend(packer.overflow(entries));
        }
        out.extend(packer.rest(entries));
        (out, most)
    }

    #[test]
    fn entries_of_one_day_come_together_and_only_the_last_manifest_is_not_full() {
        let manifests: Vec<Vec<i32>> = (0..50).map(|n| vec![n / 10, n / 10 + 1]).collect();
        let (out, most) = pack(&manifests, 40, 15);
        let sizes: Vec<usize> = out.iter().map(Vec::len).collect();
        assert_eq!(sizes, [15, 15, 15, 15, 15, 15, 10]);
        assert!(most <= 42, "{most}");
        assert!(out.iter().flatten().is_sorted(), "{out:?}");
        for days in &out {
            assert!(days.last().zip(days.first()).is_some_and(|(last, first)| last - first <= 2), "{days:?}");
        }
    }

    #[test]
    fn no_entry_is_lost_whatever_is_held() {
        for (held_max, entries) in [(1, 1), (1, 7), (3, 100), (10, 3), (1_000, 4)] {
            let manifests: Vec<Vec<i32>> = (0..30).map(|n| (0..n % 5).map(|m| (n * 7 + m) % 11).collect()).collect();
            let (out, _) = pack(&manifests, held_max, entries);
            let (mut packed, mut all) = (out.concat(), manifests.concat());
            packed.sort_unstable();
            all.sort_unstable();
            assert_eq!(packed, all, "{held_max} held, {entries} a manifest");
        }
    }

    #[test]
    fn nothing_makes_no_manifest() {
        assert_eq!(pack(&[vec![]], 4, 4).0, Vec::<Vec<i32>>::new());
    }
}
