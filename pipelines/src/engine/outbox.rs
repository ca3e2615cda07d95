//! What a worker has derived, gathered at the end of the dataflow until somebody takes it.

use std::cell::RefCell;
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Probe as _;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::probe::Handle as Probe;

use super::Outputs;
use crate::model::{
    ActivityEntry, ActivityKey, Emission, EmissionEntry, EmissionKey, FootprintEntry, FootprintKey,
    Measure, Reason, Tick, WindowEntry, WindowKey,
};
use crate::stages::notice::Notice;

/// What changed balances under which tick; `T` is an entry's key with its reason.
pub type Changes<T, R> = Vec<(T, Tick, R)>;

/// What a worker has derived since it was last asked. Not consolidated, in no order.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Of `activity`.
    pub activity: Changes<(ActivityKey, Reason), Measure>,
    /// Of `emissions`.
    pub emissions: Changes<(EmissionKey, Reason), Emission>,
    /// Of `footprints`.
    pub footprints: Changes<FootprintKey, Emission>,
    /// Of the live windows.
    pub windows: Changes<WindowKey, Emission>,
    /// What became of records.
    pub notices: Vec<(Tick, Notice)>,
}

impl Outbox {
    /// How many changes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.activity.len()
            + self.emissions.len()
            + self.footprints.len()
            + self.windows.len()
            + self.notices.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A consolidated change as an entry of its table.
pub trait IntoEntry<R> {
    /// The entry.
    type Entry;
    /// Makes it.
    fn entry(self, change: R) -> Self::Entry;
}
impl IntoEntry<Measure> for (ActivityKey, Reason) {
    type Entry = ActivityEntry;
    fn entry(self, change: Measure) -> ActivityEntry {
        ActivityEntry { key: self.0, reason: self.1, change }
    }
}
impl IntoEntry<Emission> for (EmissionKey, Reason) {
    type Entry = EmissionEntry;
    fn entry(self, change: Emission) -> EmissionEntry {
        EmissionEntry { key: self.0, reason: self.1, change }
    }
}
impl IntoEntry<Emission> for FootprintKey {
    type Entry = FootprintEntry;
    fn entry(self, change: Emission) -> FootprintEntry {
        FootprintEntry { key: self, change }
    }
}

/// A window change as the live sink takes it.
#[must_use]
pub fn window_entry((key, tick, change): (WindowKey, Tick, Emission)) -> WindowEntry {
    WindowEntry { key, tick, change }
}

impl Outputs<'_> {
    /// Gathers what is derived in `outbox`, and lets `probe` say how far it is complete.
    pub(super) fn collect(self, probe: &Probe<Tick>, outbox: &Rc<RefCell<Outbox>>) {
        gather(self.activity.inner, "activity entries", probe, outbox, |outbox, batch| {
            outbox.activity.append(batch);
        });
        gather(self.emissions.inner, "emission entries", probe, outbox, |outbox, batch| {
            outbox.emissions.append(batch);
        });
        gather(self.footprints.inner, "footprint entries", probe, outbox, |outbox, batch| {
            outbox.footprints.append(batch);
        });
        gather(self.windows.inner, "window entries", probe, outbox, |outbox, batch| {
            outbox.windows.append(batch);
        });
        gather(self.notices, "notices", probe, outbox, |outbox, batch| {
            outbox.notices.append(batch);
        });
    }
}

fn gather<D: Clone + 'static>(
    stream: Stream<'_, Tick, Vec<D>>,
    name: &str,
    probe: &Probe<Tick>,
    outbox: &Rc<RefCell<Outbox>>,
    mut put: impl FnMut(&mut Outbox, &mut Vec<D>) + 'static,
) {
    let outbox = Rc::clone(outbox);
    stream
        .unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, name, move |_, _info| {
            move |input, _output| {
                input.for_each(|_capability, batch| put(&mut outbox.borrow_mut(), batch));
            }
        })
        .probe_with(probe);
}
