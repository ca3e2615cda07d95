//! A pipeline behind a broker, and those who publish to it: what benches of the way in have in common.

#![allow(dead_code, reason = "each bench uses its own share")]

pub(crate) mod tap;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plumeline::runtime::{Clock, Running, WallClock};
use plumeline_fixtures::load::Load;
use rumqttc::mqttbytes::QoS;
use rumqttc::{Client, MqttOptions, PublishOptions};
use tempfile::TempDir;

use crate::support::Mosquitto;

pub(crate) const METERS: usize = 10_000;
/// Between two looks at a count.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Longest that anything may take.
pub(crate) const LIMIT: Duration = Duration::from_mins(5);
/// Publishes of ours that the broker has not acknowledged.
const INFLIGHT_MAX: u16 = 1_000;
/// Publishes that wait for the client: enough for a broker that stops for some seconds.
const UNSENT_MAX: usize = 100_000;

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output is open");
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "waited {LIMIT:?} for {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// The load: meters that send every minute, since yesterday.
pub(crate) fn load() -> Load {
    let start_ms = WallClock.now_ms() / 60_000 * 60_000 - 86_400_000;
    Load { seed: 3, start_ms, meters: METERS, sites: 250, factors: 100, every_ms: 60_000 }
}

/// A pipeline on the load's tables with one source.
pub(crate) struct Pipeline {
    folder: TempDir,
    tokio: tokio::runtime::Runtime,
}

impl Pipeline {
    /// With `source`, and what stands at the top of its file besides.
    pub(crate) fn new(load: &Load, top: &str, source: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the bench");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("the folder can be written");
        };
        write("meters.csv", load.meters_csv() + "probe,probe,interval,kWh,1s,f0,2020-01-01,,1,\n");
        write("factors.csv", load.factors_csv(None));
        write("nodes.csv", load.nodes_csv() + "probe,,,2020-01-01,,1,\n");
        write(
            "pipeline.toml",
            format!(
                "name = \"bench\"\nwindows = [\"7d\"]\nmax_ahead = \"1h\"\n{top}\n\
                 [http]\nlisten = \"127.0.0.1:0\"\n\
                 [tables]\nmeters = \"meters.csv\"\nfactors = \"factors.csv\"\nnodes = \"nodes.csv\"\n\
                 [[source]]\nname = \"source\"\n{source}\n\
                 [[sink]]\ntype = \"delta\"\nurl = \"lake\"\n[[sink]]\ntype = \"prometheus\"\n"
            ),
        );
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        Self { folder, tokio }
    }

    /// Its file, read.
    pub(crate) fn config(&self) -> plumeline::config::Pipeline {
        let file = self.folder.path().join("pipeline.toml");
        plumeline::config::load(&file, &|_| None).unwrap_or_else(|p| panic!("{p}"))
    }

    pub(crate) fn start(&self) -> Running {
        self.start_on(Arc::new(WallClock))
    }

    pub(crate) fn start_on(&self, clock: Arc<dyn Clock>) -> Running {
        let started = plumeline::runtime::start(self.config(), clock);
        self.tokio.block_on(started).expect("the pipeline starts")
    }
}

/// Elements of any outcome that have come in.
pub(crate) fn received(running: &Running) -> u64 {
    running.progress().outcomes.values().sum()
}

/// Ends a pipeline in good order.
pub(crate) fn end(running: Running) {
    running.stop();
    running.join().expect("it ends well");
}

pub(crate) fn options(id: &str, broker: &Mosquitto) -> MqttOptions {
    let mut options = MqttOptions::new(id, ("127.0.0.1", broker.port()));
    options.set_max_packet_size(Some(1 << 20)).set_outgoing_inflight_upper_limit(INFLIGHT_MAX);
    options
}

/// Publishes so many readings a second until it is told to end.
pub(crate) struct Fleet {
    ended: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Fleet {
    pub(crate) fn start(broker: &Mosquitto, a_second: u64) -> Self {
        let (client, mut connection) =
            Client::builder(options("fleet", broker)).capacity(UNSENT_MAX).build();
        thread::spawn(move || connection.iter().take_while(Result::is_ok).for_each(drop));
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let (begun, mut sent) = (now(), 0_u64);
            while !is_over.load(Ordering::Relaxed) {
                let since_ms = u64::try_from(begun.elapsed().as_millis()).expect("short");
                while sent < a_second * since_ms / 1000 {
                    let meter = sent % u64::try_from(METERS).expect("a count");
                    let at_ms = WallClock.now_ms();
                    let text = format!(
                        r#"{{"observed_at_ms":{at_ms},"value":1.25,"unit":"kWh","quality":"measured"}}"#
                    );
                    let once = PublishOptions::new(QoS::AtLeastOnce);
                    client.publish(format!("meters/m{meter}"), text, once).expect("there is room");
                    sent += 1;
                }
                // The pace of gateways, which nobody sets.
                thread::sleep(LOOK_EVERY);
            }
            sent
        });
        Self { ended, thread }
    }

    /// Ends it; says how many it has sent.
    pub(crate) fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("it ends")
    }
}

/// The time that so many percent of `took`, which is sorted, do not exceed, ms.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn percentile(took: &[Duration], percent: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index: positive and small"
    )]
    let index = (took.len() as f64 * percent / 100.0) as usize;
    took[index.min(took.len() - 1)].as_secs_f64() * 1e3
}
