//! The decision: which manifests of a snapshot are to be written anew, and what is gained.
//!
//! A manifest is left alone when it is full (three quarters of what one may hold) and all of its entries are live. The
//! others of one partition spec are rewritten together, if fewer can hold their files: at least one less, and at least a
//! tenth less. What a manifest may hold is known exactly in files and only about in bytes, so that a plan that was
//! carried out leaves nothing to plan.
//!
//! Pure: the manifest list comes in as facts, no manifest is read. Called by [`super::rewrite_manifests`].

use std::collections::BTreeMap;

use crate::replace::facts::{Limits, ManifestFact};

/// Manifests of one partition spec that are to be written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// The spec.
    pub(crate) spec_id: i32,
    /// Their places in the list, in the order of the partitions that they begin with.
    pub(crate) places: Vec<usize>,
    /// Their live entries.
    pub(crate) files: u64,
    /// Manifests afterwards, at most about.
    pub(crate) after: u64,
}

/// What is to be rewritten; nothing if nothing is to be gained.
pub(crate) fn plan(facts: &[ManifestFact], limits: &Limits) -> Vec<Group> {
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
    use iceberg::spec::PrimitiveLiteral;

    use super::*;
    use crate::replace::facts::Key;

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
}
