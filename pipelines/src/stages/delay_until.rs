//! `delay until`: holds a difference until `max(its tick, a moment of what it is about)`.
//!
//! Bookings (a period's end and grace), rolling windows (a period's end, its end and the span) and open
//! power holds are this one operator.
//!
//! ```text
//! (data, tick, diff) ──pending: due -> [(data, diff)], consolidated──▶ (data, max(tick, due), diff)
//! ```
//!
//! 1. What is not due at its tick waits under its due tick, consolidated by data: a change and its reverse
//!    leave nothing. *Otherwise a corrected reading would be two entries for ever.*
//! 2. What is due at its tick goes on at its tick.
//! 3. When the frontier passes a due tick, what waits under it goes on at that tick. The capability is held
//!    at the earliest due tick. *So it moves by itself when nothing arrives.*
//! 4. An **empty frontier discards** what waits: closing the inputs is not the passing of time.
//!
//! State: one entry a (due, data) that lies ahead.

use std::collections::BTreeMap;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::{AsCollection, Data, VecCollection};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use crate::model::Tick;

/// Consolidates a due tick's entries when they have doubled since the last time.
#[derive(Debug)]
struct Waiting<D, R> {
    entries: Vec<(D, R)>,
    consolidated: usize,
}

impl<D: Ord, R: Semigroup> Waiting<D, R> {
    const SLACK: usize = 256;

    fn push(&mut self, data: D, diff: R) {
        self.entries.push((data, diff));
        if self.entries.len() > 2 * self.consolidated + Self::SLACK {
            consolidate(&mut self.entries);
            self.consolidated = self.entries.len();
        }
    }
}

/// Like [`VecCollection::delay`], but time passes by itself: `moments` hands out, for each difference, what
/// it becomes and the tick it is due at, any number of times.
///
/// # Panics
/// Never: a capability is held while anything waits.
pub fn delay_until<'scope, D, R, D2, L>(
    collection: VecCollection<'scope, Tick, D, R>,
    name: &str,
    mut moments: L,
) -> VecCollection<'scope, Tick, D2, R>
where
    D: Data,
    D2: Data,
    R: Semigroup + Clone + 'static,
    L: FnMut(&D, Tick, &R, &mut dyn FnMut(D2, Tick, R)) + 'static,
{
    collection
        .inner
        .unary_frontier(Pipeline, name, |initial, _info| {
            let mut held: Option<Capability<Tick>> = None;
            drop(initial);
            let mut pending: BTreeMap<Tick, Waiting<D2, R>> = BTreeMap::new();
            move |(input, frontier), output| {
                input.for_each(|capability, batch| {
                    let mut session = output.session(&capability);
                    let mut earliest: Option<Tick> = None;
                    for (data, tick, diff) in batch.drain(..) {
                        moments(&data, tick, &diff, &mut |data, due, diff| {
                            if due <= tick {
                                session.give((data, tick, diff));
                            } else {
                                earliest = Some(earliest.map_or(due, |e| e.min(due)));
                                let waiting = pending.entry(due).or_insert_with(|| Waiting {
                                    entries: Vec::new(),
                                    consolidated: 0,
                                });
                                waiting.push(data, diff);
                            }
                        });
                    }
                    if let Some(due) = earliest
                        && held.as_ref().is_none_or(|held| *held.time() > due)
                    {
                        held = Some(capability.delayed(&due, 0));
                    }
                });
                let Some(upper) = frontier.frontier().first().copied() else {
                    pending.clear();
                    held = None;
                    return;
                };
                while let Some(entry) = pending.first_entry().filter(|entry| *entry.key() < upper) {
                    let (due, mut waiting) = entry.remove_entry();
                    consolidate(&mut waiting.entries);
                    let held = held.as_ref().expect("a capability is held while anything waits");
                    let capability = held.delayed(&due);
                    let mut session = output.session(&capability);
                    session.give_iterator(waiting.entries.into_iter().map(|(d, r)| (d, due, r)));
                }
                match (pending.first_key_value(), held.as_mut()) {
                    (Some((due, _)), Some(held)) => held.downgrade(due),
                    _ => held = None,
                }
            }
        })
        .as_collection()
}
