//! The position and the ranges as texts in the catalog: what is accepted is written again as it was read.

use std::collections::BTreeMap;

use protocol::{BatchRange, Position, Ranges, TopicRanges};

/// The promises of both text forms, for these bytes.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok((position, sequence_number)) = Position::decode(text) {
        let written = position.encode(sequence_number);
        assert_eq!(Position::decode(&written), Ok((position.clone(), sequence_number)), "{written}");
        for part in position.topics.values().flat_map(|topic| topic.partitions.values()) {
            assert_eq!(part.counts.offsets(), part.next.since(part.first), "offsets without an account in {written}");
        }
    }
    if let Some(mut summary) = Ranges::parse_summary(text) {
        summary.retain(|_, parts| !parts.is_empty());
        let whole = |range| BatchRange::new(range, false, 0, 0).expect("no record is too many for no range");
        let topics = summary.iter().map(|(name, parts)| {
            let partitions = parts.iter().map(|(partition, range)| (*partition, whole(*range))).collect();
            (name.clone(), TopicRanges { id: String::new(), epoch: 0, partitions })
        });
        if let Some(ranges) = Ranges::new(topics.collect::<BTreeMap<_, _>>()) {
            assert_eq!(Ranges::parse_summary(&Ranges::to_summary(&[&ranges])), Some(summary), "{text}");
        }
    }
}
