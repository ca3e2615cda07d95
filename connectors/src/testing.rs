//! What the tests of all sources need.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::tz::TimeZone;
use plumeline_pipelines::model::{Names, Record};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use crate::batch::Batch;
use crate::source::{Context, SourceStatus};

/// How long a test waits for what must come.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A context whose channel holds `capacity` batches, and its other end. Its clock stands in 2026.
pub(crate) fn context(name: &str, capacity: usize) -> (Context, Receiver<Batch>) {
    let (out, batches) = channel(capacity);
    let context = Context {
        pipeline: "test".into(),
        name: name.into(),
        names: Arc::new(Names::new()),
        index: 0,
        out,
        clock: Arc::new(|| 1_767_268_800_000),
        max_ahead_ms: 300_000,
        timezone: TimeZone::UTC,
        period_ms: 900_000,
        resume: Vec::new(),
    };
    (context, batches)
}

/// A reading of meter `m-{number}` whose value is `number`.
pub(crate) fn reading(number: u64) -> String {
    format!(
        r#"{{"meter":"m-{number}","observed_at":"2026-01-01T00:00:00Z","value":{number},"unit":"kWh"}}"#
    )
}

/// The values of a batch's readings.
pub(crate) fn values(batch: &Batch) -> Vec<i128> {
    let value = |record: &Record| match record {
        Record::Reading(reading) => reading.value.unwrap().mantissa(),
        Record::Activity(_) => panic!("no activities here"),
    };
    batch.records.iter().map(value).collect()
}

/// Batches until `count` elements were received.
pub(crate) async fn receive(batches: &mut Receiver<Batch>, count: u64) -> Vec<Batch> {
    let (mut all, mut received) = (Vec::new(), 0);
    while received < count {
        let batch = timeout(LONG, batches.recv()).await.expect("in time").expect("the source runs");
        received += batch.received;
        all.push(batch);
    }
    all
}

/// Waits until the source says that it is connected.
pub(crate) async fn connected(status: &SourceStatus) {
    let connected = async {
        while !status.connected.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, connected).await.expect("connected in time");
}
