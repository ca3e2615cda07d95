//! Which element of its payload a reading was that waits for its meter: `readings` does not say, and `rejects` does.
//!
//! When it waits no longer, a row of `rejects` says so under the id of the row that said it waits, which names the
//! element. Both are of one cut; what a row is about is told by how its reason begins.

use std::collections::{BTreeMap, VecDeque};

use plumeline_pipelines::model::{Names, Outcome, Record, RejectEntry, RejectEvent};

use crate::runtime::about;

/// What waits, or is refused, in a cut.
#[derive(Debug, Default)]
pub(super) struct Elements {
    /// By source and position: elements in order, with their reasons.
    waiting: BTreeMap<(u16, u64), VecDeque<(u32, String)>>,
}

impl Elements {
    pub(super) fn of(rejects: Vec<RejectEntry>) -> Self {
        let mut elements = Self::default();
        for reject in rejects {
            if reject.event != RejectEvent::Resolved {
                let of_payload =
                    elements.waiting.entry((reject.source, reject.position)).or_default();
                of_payload.push_back((reject.element, reject.reason));
            }
        }
        for of_payload in elements.waiting.values_mut() {
            of_payload.make_contiguous().sort();
        }
        elements
    }

    /// Notes the element in a record that waits. Records have to be asked for in the order in which they came.
    pub(super) fn find(&mut self, record: &mut Record, outcome: Outcome, names: &Names) {
        if !matches!(outcome, Outcome::Parked | Outcome::Rejected) {
            return;
        }
        let at_ms = match record {
            Record::Reading(reading) => reading.at_ms,
            Record::Activity(activity) => activity.from_ms,
        };
        let about = about(&names.name(record.subject().id()), at_ms);
        let arrival = record.arrival_mut();
        let Some(of_payload) = self.waiting.get_mut(&(arrival.source, arrival.position)) else {
            return;
        };
        let found = of_payload.iter().position(|(_, reason)| reason.starts_with(&about));
        if let Some((element, _)) = found.and_then(|index| of_payload.remove(index)) {
            arrival.element = element;
        }
    }
}

#[cfg(test)]
mod tests {
    use plumeline_pipelines::model::{Arrival, Id, Quality, Reading};

    use super::*;

    fn reject(element: u32, reason: &str) -> RejectEntry {
        let (event, reason) = (RejectEvent::Parked, reason.to_owned());
        RejectEntry { source: 2, position: 7, element, event, reason, raw: Vec::new() }
    }

    fn waiting(meter: Id, at_ms: i64) -> Record {
        Record::Reading(Reading {
            meter,
            at_ms,
            from_ms: None,
            value: None,
            unit: None,
            version: 0,
            quality: Quality::default(),
            arrival: Arrival { source: 2, position: 7, ..Arrival::default() },
        })
    }

    #[test]
    fn a_reading_that_waits_finds_its_element_by_what_is_said_of_it() {
        let names = Names::new();
        let [one, two] = ["m-1", "m-2"].map(|name| names.intern(name));
        let why = |name: &str, at_ms| about(name, at_ms) + "not registered";
        let rejects = vec![
            reject(9, &why("m-2", 1000)),
            reject(4, &why("m-1", 1000)),
            reject(3, "no number: \"x\""),
            reject(2, &why("m-1", 1000)),
        ];
        let mut elements = Elements::of(rejects);
        let mut element = |meter, at_ms, outcome| {
            let mut record = waiting(meter, at_ms);
            elements.find(&mut record, outcome, &names);
            record.arrival().element
        };
        assert_eq!(element(one, 1000, Outcome::Booked), 0, "it does not wait");
        assert_eq!(element(two, 1000, Outcome::Parked), 9);
        assert_eq!(element(one, 1000, Outcome::Parked), 2, "the first that came");
        assert_eq!(element(one, 1000, Outcome::Rejected), 4);
        assert_eq!(element(one, 1000, Outcome::Parked), 0, "nothing is left");
    }
}
