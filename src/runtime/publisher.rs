//! The publisher: one consistent tick of the live windows.
//!
//! Workers hand over the window changes of each seal, which meters were heard of, and the facts they were given. When
//! all have, the changes are applied and the whole is published under the seal's tick: a scrape never sees half of a
//! seal. Shares of meters heard of are counted where something is shown only ([`Reporting`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use plumeline_pipelines::model::{
    Cause, Emission, Fact, Id, Names, Period, Policy, Tick, WindowEntry, WindowKey,
};
use plumeline_pipelines::reference::add;
use plumeline_pipelines::reporting::Reporting;
use plumeline_sinks::prometheus::{Live, LiveConfig};

use super::progress::Footprint;
use super::telemetry::Telemetry;
use super::whole::Whole;
use crate::config::Pipeline;

/// Levels of the tree whose balances are kept for people: groups and their companies.
const PEOPLE_DEPTH: u8 = 2;

/// What a seal has to tell.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What changed in the windows.
    pub windows: Vec<WindowEntry>,
    /// Meters that were heard of in another period than before, each in order.
    pub heard: Vec<(Id, Option<Period>)>,
    /// Facts learned (1) and taken back (-1), less factors.
    pub facts: Vec<(Fact, i64)>,
}

impl News {
    fn append(&mut self, mut other: Self) {
        self.windows.append(&mut other.windows);
        self.heard.append(&mut other.heard);
        self.facts.append(&mut other.facts);
    }
}

/// One worker's share of what a seal has to tell.
#[derive(Debug)]
pub(super) struct Changed {
    /// The seal's instant, ms.
    pub ms: i64,
    /// What it is.
    pub news: News,
    /// Whether it is shown; at a restart, only once the dataflow has caught up.
    pub is_shown: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Publisher {
    policy: Policy,
    labels: Vec<String>,
    workers: usize,
    live: Option<(Live, Reporting)>,
    upper: BTreeMap<WindowKey, Emission>,
    whole: Whole,
    has_shown: bool,
    names: Arc<Names>,
    telemetry: Arc<Telemetry>,
}

impl Publisher {
    /// Publishes to `telemetry`.
    #[must_use]
    pub(super) fn new(
        pipeline: &Pipeline,
        has_ledger: bool,
        names: Arc<Names>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let mut labels = vec!["open".to_owned()];
        labels.extend(pipeline.window_labels.iter().cloned());
        let live = pipeline.prometheus.map(|prometheus| {
            let config = LiveConfig {
                depth: prometheus.depth,
                gases: prometheus.gases,
                max_series: prometheus.max_series,
                windows: labels.clone(),
            };
            (Live::new(config, Arc::clone(&names)), Reporting::new(pipeline.policy.clone()))
        });
        Self {
            policy: pipeline.policy.clone(),
            whole: Whole::new(pipeline.policy.clone(), has_ledger),
            labels,
            workers: pipeline.workers,
            live,
            upper: BTreeMap::new(),
            has_shown: false,
            names,
            telemetry,
        }
    }

    /// Runs until all workers have let go.
    pub(super) fn run(mut self, inbox: &Receiver<Changed>) {
        let mut seals: BTreeMap<i64, (usize, News)> = BTreeMap::new();
        while let Ok(Changed { ms, news, is_shown }) = inbox.recv() {
            let seal = seals.entry(ms).or_default();
            seal.0 += 1;
            seal.1.append(news);
            if seal.0 == self.workers {
                let (_, mut news) = seals.remove(&ms).expect("just looked at");
                news.windows = self.whole.of(ms, news.windows);
                self.publish(ms, news, is_shown);
            }
        }
    }

    fn publish(&mut self, ms: i64, news: News, is_shown: bool) {
        let News { windows, heard, facts } = news;
        for entry in windows.iter().filter(|entry| entry.key.depth < PEOPLE_DEPTH) {
            add(&mut self.upper, entry.key, &entry.change);
        }
        if let Some((live, reporting)) = &mut self.live {
            live.apply(&windows);
            reporting.learn(facts);
            for (meter, newest) in heard {
                reporting.hear(meter, newest);
            }
        }
        if !is_shown {
            return;
        }
        let as_of = Tick::new(ms, Cause::Cut);
        let published = self.live.as_mut().map(|(live, reporting)| {
            live.report(reporting.changes(as_of));
            let running = self.policy.period_of(ms);
            let closed_ms = running.start_ms(self.policy.period_ms);
            let open = (0, running.end_ms(self.policy.period_ms));
            let others = (1..self.labels.len())
                .map(|window| (u8::try_from(window).expect("few windows"), closed_ms));
            let ends: Vec<(u8, i64)> = std::iter::once(open).chain(others).collect();
            live.publish(as_of, &ends)
        });
        // The first that is shown holds what was restored.
        let is_first = !std::mem::replace(&mut self.has_shown, true);
        let footprints =
            if windows.is_empty() && !is_first { None } else { Some(self.footprints()) };
        self.telemetry.publish(ms, published, footprints);
    }

    fn footprints(&self) -> Vec<Footprint> {
        let footprint = |(key, emission): (&WindowKey, &Emission)| Footprint {
            node: self.names.name(key.node).to_string(),
            scope: key.scope,
            method: key.method.name(),
            window: self.labels[usize::from(key.window)].clone(),
            // 1e-21 kg to grams, toward zero: for people.
            grams: emission.co2e.get() / 1_000_000_000_000_000_000,
        };
        self.upper.iter().map(footprint).collect()
    }
}
