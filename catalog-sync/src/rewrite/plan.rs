//! The decision: which manifests of a snapshot are to be written anew, and what is gained.
//!
//! A manifest is left alone when it is full (three quarters of what one may hold) and all of its entries are live. The
//! others of one partition spec are rewritten together, if fewer can hold their files: at least one less, and at least a
//! tenth less. What a manifest may hold is known exactly in files and only about in bytes, so that a plan that was
//! carried out leaves nothing to plan.
//!
//! Pure: the manifest list comes in as facts, no manifest is read. Called by [`super::rewrite_manifests`].

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use iceberg::spec::{PartitionSpec, PrimitiveLiteral, Transform};

use crate::snapshot::MANIFEST_FILES;

/// Table property with the size that a manifest should have.
pub const TARGET_SIZE_KEY: &str = "commit.manifest.target-size-bytes";

/// What the specification's own writers take when the property is not set.
const TARGET_SIZE_DEFAULT: u64 = 8 * 1024 * 1024;

/// What one manifest may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files.
    pub files: u64,
    /// Bytes, about.
    pub bytes: u64,
}

impl Limits {
    /// As the table's properties say.
    ///
    /// # Errors
    /// The property's text, if it is no size.
    pub fn of(properties: &HashMap<String, String>) -> Result<Self, String> {
        let bytes = match properties.get(TARGET_SIZE_KEY) {
            None => TARGET_SIZE_DEFAULT,
            Some(text) => match text.trim().parse() {
                Ok(0) | Err(_) => return Err(text.clone()),
                Ok(bytes) => bytes,
            },
        };
        Ok(Self { files: MANIFEST_FILES as u64, bytes })
    }

    /// Files of a manifest whose head and entries have these sizes; one at least.
    #[must_use]
    pub fn files_of(&self, head_bytes: u64, entry_bytes: u64) -> usize {
        let fit = self.bytes.saturating_sub(head_bytes) / entry_bytes.max(1);
        usize::try_from(fit.clamp(1, self.files)).unwrap_or(1)
    }

    fn is_full(&self, fact: &ManifestFact) -> bool {
        let enough = |is: u64, may: u64| is >= may.saturating_sub(may / 4);
        enough(fact.live, self.files) || enough(fact.bytes, self.bytes)
    }

    fn least(&self, files: u64, bytes: u64) -> u64 {
        if files == 0 { 0 } else { files.div_ceil(self.files).max(bytes.div_ceil(self.bytes)) }
    }
}

/// Partition values in the order that entries are sorted by: days before all else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key(pub Vec<Option<PrimitiveLiteral>>);

impl Key {
    /// Which comes first; values of one field are of one type, and so comparable.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

/// Places of a spec's fields in the order of a [`Key`]: fields of time first, since time is what most queries ask for.
#[must_use]
pub fn field_order(spec: &PartitionSpec) -> Vec<usize> {
    let is_time = |of: Transform| matches!(of, Transform::Year | Transform::Month | Transform::Day | Transform::Hour);
    let mut places: Vec<usize> = (0..spec.fields().len()).collect();
    places.sort_by_key(|&place| spec.fields().get(place).is_none_or(|field| !is_time(field.transform)));
    places
}

/// A manifest of data files, as the manifest list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFact {
    /// Its place in the list.
    pub place: usize,
    /// Its partition spec.
    pub spec_id: i32,
    /// Its size.
    pub bytes: u64,
    /// Entries that are added or carried over.
    pub live: u64,
    /// Entries that are deleted.
    pub deleted: u64,
    /// The lowest value of each partition field.
    pub lowest: Key,
}

/// Manifests of one partition spec that are to be written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The spec.
    pub spec_id: i32,
    /// Their places in the list, in the order of the partitions that they begin with.
    pub places: Vec<usize>,
    /// Their live entries.
    pub files: u64,
    /// Manifests afterwards, at most about.
    pub after: u64,
}

/// What is to be rewritten; nothing if nothing is to be gained.
#[must_use]
pub fn plan(facts: &[ManifestFact], limits: &Limits) -> Vec<Group> {
    let mut by_spec: BTreeMap<i32, Vec<&ManifestFact>> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact.deleted > 0 || !limits.is_full(fact)) {
        by_spec.entry(fact.spec_id).or_default().push(fact);
    }
    by_spec.into_iter().filter_map(|(spec_id, facts)| group(spec_id, facts, limits)).collect()
}

fn group(spec_id: i32, mut facts: Vec<&ManifestFact>, limits: &Limits) -> Option<Group> {
    facts.sort_by(|a, b| a.lowest.order(&b.lowest));
    let before = facts.len() as u64;
    let files = facts.iter().map(|fact| fact.live).sum();
    let after = limits.least(files, facts.iter().filter(|fact| fact.live > 0).map(|fact| fact.bytes).sum());
    let gained = before.saturating_sub(after);
    let places = facts.into_iter().map(|fact| fact.place).collect();
    (gained >= (before / 10).max(1)).then_some(Group { spec_id, places, files, after })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { files: 100, bytes: 10_000 };

    fn fact(place: usize, day: i32, live: u64, bytes: u64) -> ManifestFact {
        let lowest = Key(vec![Some(PrimitiveLiteral::Int(day))]);
        ManifestFact { place, spec_id: 0, bytes, live, deleted: 0, lowest }
    }

    #[test]
    fn many_small_manifests_become_few_in_the_order_of_their_days() {
        let facts: Vec<ManifestFact> = (0..30_usize).map(|n| fact(n, 30 - n as i32, 5, 300)).collect();
        let plan = plan(&facts, &LIMITS);
        assert_eq!(plan.len(), 1);
        assert_eq!((plan[0].files, plan[0].after), (150, 2));
        assert_eq!(plan[0].places, (0..30).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_manifest_that_is_full_is_left_alone_and_one_with_deleted_entries_is_not() {
        let cleaned = ManifestFact { deleted: 1, ..fact(2, 3, 80, 800) };
        let facts = [fact(0, 1, 75, 800), fact(1, 2, 3, 7_500), cleaned, fact(3, 4, 5, 100), fact(4, 5, 5, 100)];
        assert_eq!(plan(&facts, &LIMITS)[0].places, [2, 3, 4]);
    }

    #[test]
    fn a_manifest_without_a_live_entry_is_dropped_even_if_it_is_the_only_one() {
        let empty = ManifestFact { deleted: 9, ..fact(0, 1, 0, 500) };
        let plan = plan(&[empty], &LIMITS);
        assert_eq!((plan[0].places.as_slice(), plan[0].after), ([0].as_slice(), 0));
    }

    #[test]
    fn nothing_is_done_for_nothing() {
        assert!(plan(&[], &LIMITS).is_empty());
        assert!(plan(&[fact(0, 1, 5, 300)], &LIMITS).is_empty());
        // Two that together need two.
        assert!(plan(&[fact(0, 1, 60, 300), fact(1, 1, 60, 300)], &LIMITS).is_empty());
        assert!(plan(&[fact(0, 1, 6, 6_000), fact(1, 1, 6, 6_000)], &LIMITS).is_empty());
        // Of each spec for itself.
        assert!(plan(&[fact(0, 1, 5, 300), ManifestFact { spec_id: 1, ..fact(1, 1, 5, 300) }], &LIMITS).is_empty());
        // Thirty that need twenty-eight are not worth the trouble.
        let facts: Vec<ManifestFact> = (0..30).map(|n| fact(n, 1, 70, 9_200 / 3 * 2)).collect();
        assert!(plan(&facts[..], &Limits { bytes: 6_132 * 30 / 28, files: 1_000 }).is_empty());
    }

    #[test]
    fn what_a_plan_leaves_is_nothing_to_plan() {
        for (manifests, live) in [(2_usize, 1_u64), (30, 5), (100, 37), (999, 1), (40, 74)] {
            let facts: Vec<ManifestFact> = (0..manifests).map(|n| fact(n, 1, live, live * 50)).collect();
            let files = manifests as u64 * live;
            let (full, rest) = (files / 100, files % 100);
            let sizes = (0..full).map(|_| 100).chain((rest > 0).then_some(rest));
            let after: Vec<ManifestFact> = sizes.enumerate().map(|(n, live)| fact(n, 1, live, live * 50)).collect();
            if let [group] = plan(&facts, &LIMITS).as_slice() {
                assert_eq!(group.after, after.len() as u64);
            }
            assert!(plan(&after, &LIMITS).is_empty(), "{manifests} of {live}");
        }
    }

    #[test]
    fn the_bound_in_bytes_is_the_tables_property() {
        let of = |text: &str| Limits::of(&HashMap::from([(TARGET_SIZE_KEY.to_owned(), text.to_owned())]));
        assert_eq!(Limits::of(&HashMap::new()).unwrap(), Limits { files: 1_000, bytes: 8_388_608 });
        assert_eq!(of(" 65536 ").unwrap().bytes, 65_536);
        for text in ["", "0", "-1", "8 MB"] {
            assert_eq!(of(text), Err(text.to_owned()));
        }
        let limits = Limits { files: 1_000, bytes: 65_536 };
        assert_eq!(limits.files_of(5_536, 1_000), 60);
        assert_eq!((limits.files_of(0, 1), limits.files_of(70_000, 1_000)), (1_000, 1));
    }
}
