//! A join that lets the rest of the dataflow run often.
//!
//! differential-dataflow's join makes a million records each time it is scheduled, and only then may what
//! stands behind it hand them on. A revised factor has millions of effects: the first of them would be out
//! after a second, and everybody else would wait a second at a time. The join counts records by what their
//! container says of itself, so containers here say more than they hold.
//!
//! 1. Matches go to a plain buffer, not consolidated: what is derived from distinct subjects has nothing to
//!    cancel, and whoever reads the end of the dataflow consolidates by cuts anyway.
//! 2. A full buffer counts [`WEIGHT`] times. The join stops after a million of these.
//! 3. `unweigh` takes the buffer out, in the same worker, without a copy.

use differential_dataflow::difference::{Multiply, Semigroup};
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::operators::join::join_traces;
use differential_dataflow::trace::implementations::chunker::ContainerChunker;
use differential_dataflow::trace::implementations::containers::BatchContainer;
use differential_dataflow::trace::implementations::{ValBatcher, ValBuilder, ValSpine};
use differential_dataflow::trace::{BatchCursor, BatchVal, Cursor, Navigable, TraceReader};
use differential_dataflow::{AsCollection, Data, ExchangeData, VecCollection};
use timely::Accountable;
use timely::container::{CapacityContainerBuilder, ContainerBuilder, PushInto};
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::Operator;

use crate::model::Tick;

/// By how much a record weighs more than one: the join makes a million divided by this at a time.
const WEIGHT: i64 = 100;

/// An arrangement of a worker's own records by key.
pub(super) type Local<'scope, K, V, R> = Arranged<'scope, TraceAgent<ValSpine<K, V, Tick, R>>>;

/// Arranges by key, with records where `pact` puts them: for a join whose other side is on every worker.
pub(super) fn arrange<'scope, K: ExchangeData, V: ExchangeData, R: ExchangeData + Semigroup>(
    records: VecCollection<'scope, Tick, (K, V), R>,
    pact: impl ParallelizationContract<Tick, Vec<((K, V), Tick, R)>>,
    name: &str,
) -> Local<'scope, K, V, R> {
    arrange_core::<
        _,
        _,
        ContainerChunker<Vec<((K, V), Tick, R)>>,
        ValBatcher<K, V, Tick, R>,
        ValBuilder<K, V, Tick, R>,
        ValSpine<K, V, Tick, R>,
    >(records.inner, pact, name)
}

/// As `join_core` of differential-dataflow with one result a match, but in steps of milliseconds.
pub(super) fn join<'scope, Tr1, Tr2, D, R1, R2, KC>(
    left: Arranged<'scope, Tr1>,
    right: Arranged<'scope, Tr2>,
    mut result: impl FnMut(KC::ReadItem<'_>, BatchVal<'_, Tr1>, BatchVal<'_, Tr2>) -> D + 'static,
) -> VecCollection<'scope, Tick, D, R1::Output>
where
    Tr1: TraceReader<Batch: Navigable, Time = Tick> + 'static,
    Tr2: TraceReader<Batch: Navigable, Time = Tick> + 'static,
    KC: BatchContainer,
    BatchCursor<Tr1>: Cursor<Time = Tick, Diff = R1, KeyContainer = KC>,
    BatchCursor<Tr2>: Cursor<Time = Tick, Diff = R2>,
    for<'a> BatchCursor<Tr1>: Cursor<Key<'a> = KC::ReadItem<'a>>,
    for<'a> BatchCursor<Tr2>: Cursor<Key<'a> = KC::ReadItem<'a>>,
    D: Data,
    R1: Multiply<R2, Output: Semigroup + 'static> + Clone,
{
    let matches = join_traces::<_, _, _, _, Weigher<(D, Tick, R1::Output)>>(
        left,
        right,
        move |key, one, other, tick, left, right, out| {
            let data = result(key, one, other);
            out.buffer.push_into((data, tick, left.clone().multiply(right)));
        },
    );
    let unweighed = matches.unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(
        Pipeline,
        "unweigh",
        |_, _info| {
            |input, output| {
                input.for_each(|capability, weighed| {
                    output.session(&capability).give_container(&mut weighed.0);
                });
            }
        },
    );
    unweighed.as_collection()
}

/// Records that count [`WEIGHT`] times.
struct Weighed<T>(Vec<T>);

impl<T> Default for Weighed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Clone for Weighed<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Accountable for Weighed<T> {
    fn record_count(&self) -> i64 {
        self.0.record_count() * WEIGHT
    }
}

/// Builds buffers, and weighs them.
struct Weigher<T> {
    buffer: CapacityContainerBuilder<Vec<T>>,
    ready: Weighed<T>,
}

impl<T> Default for Weigher<T> {
    fn default() -> Self {
        Self { buffer: CapacityContainerBuilder::default(), ready: Weighed::default() }
    }
}

impl<T: 'static> ContainerBuilder for Weigher<T> {
    type Container = Weighed<T>;

    fn extract(&mut self) -> Option<&mut Weighed<T>> {
        let full = self.buffer.extract()?;
        self.ready.0 = std::mem::take(full);
        Some(&mut self.ready)
    }

    fn finish(&mut self) -> Option<&mut Weighed<T>> {
        let rest = self.buffer.finish()?;
        self.ready.0 = std::mem::take(rest);
        Some(&mut self.ready)
    }
}
