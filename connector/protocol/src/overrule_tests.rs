//! Each halt overruled, and refused when the table does not stand as the token says.

use super::*;

fn position() -> Position {
    let text = r#"{"v":1,"seq":4,"topics":{"my-clicks":{"id":"a","epoch":0,"ended":[0,0,0],
        "parts":{"0":[0,120,119,1],"1":[0,7,7,0]}}}}"#;
    Position::decode(text).unwrap().0
}

fn found(position: Result<Position, Halt>) -> Found<'static> {
    let facts = TableFacts {
        uuid: "u".into(),
        snapshot_id: Some(3),
        sequence_number: 4,
        position: Position::default(),
        sweep_epoch: String::new(),
    };
    Found { position, property: None, facts }
}

fn over(halt: &Halt) -> Result<Position, OverruleError> {
    let overruled: Overruled = halt.token().unwrap().parse()?;
    Ok(overrule(&found(Ok(position())), &overruled, None)?.position().clone())
}

fn offset(number: i64) -> Offset {
    Offset::new(number).unwrap()
}

fn gap(expected: i64, found: i64) -> Halt {
    let (expected, found) = (offset(expected), offset(found));
    Halt::Gap { topic: "my-clicks".into(), partition: 0, expected, found, count: found.since(expected) }
}

fn ahead(expected: i64, found: i64) -> Halt {
    let (expected, found) = (offset(expected), offset(found));
    Halt::PositionAhead { topic: "my-clicks".into(), partition: 0, epoch: 0, expected, found }
}

#[test]
fn a_gap_is_counted_as_lost_and_only_as_it_was_told() {
    let after = over(&gap(120, 150)).unwrap();
    let at = after.topics["my-clicks"].partitions[&0];
    assert_eq!((at.next.get(), at.counts.lost, at.counts.offsets()), (150, 30, 150));
    assert_eq!(after.topics["my-clicks"].partitions[&1], position().topics["my-clicks"].partitions[&1]);
    assert_eq!(after.topics["my-clicks"].epoch, position().topics["my-clicks"].epoch + 1);
    assert!(matches!(over(&gap(119, 150)), Err(OverruleError::Differs(_))));
    assert!(matches!(over(&gap(120, 120)), Err(OverruleError::Differs(_))));
}

#[test]
fn a_log_that_lost_its_end_goes_on_there_in_a_new_epoch() {
    let after = over(&ahead(120, 80)).unwrap();
    let topic = &after.topics["my-clicks"];
    assert_eq!((topic.epoch, topic.ended.rows, topic.partitions[&0].next.get()), (1, 119, 80));
    assert_eq!(topic.partitions[&1].next.get(), 7);
    assert_eq!(after.counts().offsets(), position().counts().offsets());
    assert!(matches!(over(&ahead(121, 80)), Err(OverruleError::Differs(_))));
}

#[test]
fn a_word_against_a_cut_log_is_not_taken_twice() {
    let overruled: Overruled = ahead(120, 80).token().unwrap().parse().unwrap();
    let mut after = overrule(&found(Ok(position())), &overruled, None).unwrap().position().clone();
    // It reads on, and stands where it stood before.
    after.topics.get_mut("my-clicks").unwrap().partitions.get_mut(&0).unwrap().next = offset(120);
    assert!(matches!(overrule(&found(Ok(after)), &overruled, None), Err(OverruleError::Differs(_))));
}

#[test]
fn another_topic_begins_anew_and_the_old_account_is_closed() {
    let halt = |expected: &str| Halt::TopicRecreated {
        topic: "my-clicks".into(),
        expected: expected.into(),
        found: "b".into(),
    };
    let after = over(&halt("a")).unwrap();
    let topic = &after.topics["my-clicks"];
    assert_eq!((topic.id.as_str(), topic.epoch, topic.ended.rows, topic.partitions.len()), ("b", 1, 126, 0));
    assert!(matches!(over(&halt("c")), Err(OverruleError::Differs(_))));
}

#[test]
fn a_table_that_was_rolled_back_keeps_the_position_of_its_property() {
    let property = position().encode(9);
    let halt = Halt::TableRolledBack { written: 9, current: 7 };
    let overruled: Overruled = halt.token().unwrap().parse().unwrap();
    let back = Found { property: Some(&property), ..found(Err(halt)) };
    let plan = overrule(&back, &overruled, None).unwrap();
    assert_eq!((plan.position(), plan.base(), plan.sequence_number()), (&position(), Some(3), 5));
    assert!(matches!(overrule(&found(Ok(position())), &overruled, None), Err(OverruleError::Differs(_))));
}

#[test]
fn an_unreadable_position_is_replaced_and_a_readable_one_is_not() {
    let unreadable = Overruled::PositionUnreadable;
    let halted = found(Err(Halt::PositionUnreadable("?".into())));
    assert_eq!(overrule(&halted, &unreadable, Some(position())).unwrap().position(), &position());
    assert!(matches!(overrule(&halted, &unreadable, None), Err(OverruleError::Replacement(_))));
    assert!(matches!(overrule(&found(Ok(position())), &unreadable, Some(position())), Err(OverruleError::Differs(_))));
}

#[test]
fn what_no_halt_prints_is_no_token() {
    for text in [
        "",
        "gap",
        "gap:clicks:1..2",
        "gap:clicks-0:1",
        "gap:clicks-0:-1..2",
        "position-ahead:clicks-0:9..2",
        "table-replaced:a..b",
        "topic-recreated:1..2",
    ] {
        assert!(matches!(text.parse::<Overruled>(), Err(OverruleError::Token(_))), "{text}");
    }
}
