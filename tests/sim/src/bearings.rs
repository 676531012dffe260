//! What a task asks of the catalog and of Kafka: where the table stands, who the topics are, what the logs hold.
//!
//! In this order, with time between: the table's position, the identities, the logs; and for a survey, where the consumer
//! stands before who the topics are. The answer to a question that was followed by another is not passed on.

use std::collections::BTreeSet;

use protocol::Offset;
use protocol::start::LogRange;
use protocol::task::{Bearings, Event as Input, Obstacle, Survey, TopicPartition};

use crate::network::Reply;
use crate::rule::Rule;
use crate::shell::State;
use crate::tally::{Fault, Pending};
use crate::world::{Event, TaskAddress, TaskWhat, World};

/// A question that is not answered yet.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// The table's position, from the catalog.
    Position(BTreeSet<TopicPartition>),
    /// Who the topics are.
    Ids(BTreeSet<TopicPartition>, Bearings),
    /// What the logs hold. Asked last: a log that is older than position or identity would mislead.
    Logs(BTreeSet<TopicPartition>, Bearings),
    /// Who the topics of the batch are; where the consumer stood before.
    Survey(Survey),
}

impl World {
    /// The catalog's answer to a look at the position.
    pub(crate) fn position_loaded(&mut self, to: TaskAddress, number: u64, reply: &Reply) {
        let without = self.without;
        let shell = self.shell(to);
        if shell.questions != number || shell.state != State::Running {
            return;
        }
        // The time-out of a call that was answered finds the next question.
        let Some(Question::Position(partitions)) =
            shell.question.take_if(|asked| matches!(asked, Question::Position(_)))
        else {
            return;
        };
        let passing = |why: &str| Err(Obstacle::Passing(why.to_owned()));
        let found = match reply {
            Reply::Table(Some(table)) => match table.position(without) {
                Ok(position) => Ok(Bearings { position, sweep_epoch: table.epoch.clone(), ..Bearings::default() }),
                Err(halt) => Err(Obstacle::Halt(halt)),
            },
            Reply::Table(None) => passing("no such table"),
            Reply::NoAnswer | Reply::Outcome(_) => passing("no answer from the catalog"),
        };
        match found {
            Err(obstacle) => self.feed(to, Input::Located(Err(obstacle))),
            Ok(bearings) => self.ask_kafka(to, number, Question::Ids(partitions, bearings)),
        }
    }

    fn ask_kafka(&mut self, to: TaskAddress, number: u64, question: Question) {
        self.shell(to).question = Some(question);
        let delay = self.rng.between(1, 400);
        self.at(delay, Event::Task { to, what: TaskWhat::Kafka(number) });
    }

    pub(crate) fn kafka_answered(&mut self, to: TaskAddress, number: u64) {
        let shell = self.shell(to);
        if shell.questions != number {
            return;
        }
        let Some(question) = shell.question.take() else { return };
        let silent = !self.calm && self.rng.per_mille(self.profile.storage / 2);
        let obstacle = Obstacle::Passing("no answer from kafka".to_owned());
        if silent {
            let pending = if matches!(question, Question::Survey(_)) { Pending::Survey } else { Pending::Locate };
            self.tally.fault(Fault::KafkaSilent, pending.bit());
        }
        let ids = self.kafka.ids();
        match question {
            Question::Position(_) => {}
            Question::Survey(_) if silent => self.feed(to, Input::Surveyed(Err(obstacle))),
            Question::Survey(survey) => self.feed(to, Input::Surveyed(Ok(Survey { ids, ..survey }))),
            _ if silent => self.feed(to, Input::Located(Err(obstacle))),
            Question::Ids(partitions, bearings) => {
                self.ask_kafka(to, number, Question::Logs(partitions, Bearings { ids, ..bearings }));
            }
            Question::Logs(partitions, bearings) => {
                let bearings = self.with_logs(to, &partitions, bearings);
                self.shell(to).located = true;
                self.feed(to, Input::Located(Ok(bearings)));
            }
        }
    }

    fn with_logs(
        &mut self,
        to: TaskAddress,
        partitions: &BTreeSet<TopicPartition>,
        mut bearings: Bearings,
    ) -> Bearings {
        for (topic, partition) in partitions {
            let Some(log) = self.kafka.log(topic, *partition) else { continue };
            if let (Ok(start), Ok(end)) = (Offset::new(log.start), Offset::new(log.end())) {
                bearings.logs.insert((topic.clone(), *partition), LogRange { start, end });
            }
        }
        if self.without == Some(Rule::R11) {
            self.believe_the_group(to, &mut bearings);
        }
        bearings
    }

    /// Without R11: the group's offsets are the truth, and without one reading begins at the end.
    fn believe_the_group(&self, to: TaskAddress, bearings: &mut Bearings) {
        let offsets = &self.groups[self.workers[to.worker].group].offsets;
        for ((topic, partition), log) in &mut bearings.logs {
            let stored = offsets.get(&(topic.clone(), *partition)).and_then(|&offset| Offset::new(offset).ok());
            let from = stored.filter(|from| (log.start..=log.end).contains(from)).unwrap_or(log.end);
            let known = bearings.position.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(partition));
            match known {
                Some(at) => at.next = from,
                None => log.start = from,
            }
        }
    }
}
