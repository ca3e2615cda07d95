//! Seeded traffic of many meters, with everything that goes wrong on the way, and what a ledger must make
//! of it.
//!
//! ```text
//!   slots ──┬──────────── now ────────────┬──► line, topic, lane
//!           └─► later: late, again, ──────┘         │
//!               corrected, withdrawn                └─► accepted: the rows that `readings` must hold
//! ```
//!
//! 1. A slot is a meter and an instant of the last two days that no other slot has: the first lap over the
//!    two days is coarse, each further one falls in between, so old periods are restated all the time.
//! 2. Some slots come late, twice, with a correction, with their correction before them, or are withdrawn.
//!    A correction has a version: what holds in the end does not depend on the order of arrival.
//! 3. All that is said of a slot goes to one lane (a partition), which keeps the order. So what is accepted
//!    follows from what was sent: a version below one that was sent before is outdated, the same again is a
//!    duplicate, all else is a row.
//! 4. The last message of each lane is of a meter that has a node of its own: when that node shows, all
//!    that was sent before it in the lane has been received.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use plumeline_fixtures::random::SplitMix64;

use super::{Rig, day_before_yesterday};

/// Meters of kind `interval`.
const INTERVALS: i64 = 24;
/// Meters of kind `register`.
const REGISTERS: i64 = 12;
/// The number of the meter that is registered only after its first readings.
const LATE: i64 = INTERVALS + REGISTERS;
/// All of them.
const METERS: i64 = LATE + 1;
/// The number of the last message's meter of lane 0; the others' follow.
const END: i64 = METERS;
/// Lanes there can be.
pub(crate) const LANES_MAX: i32 = 4;
/// Seconds between two readings of a meter in one lap, and how many laps there are.
const STRIDE_S: i64 = 97;
/// Readings of a meter in a lap: 47 hours, so that every period is over whenever the test runs.
const LAP: i64 = 47 * 3_600 / STRIDE_S;
/// Factors.
const FACTORS: usize = 2;
/// Revisions of all factors together at which the late meter is not registered yet.
const REVISIONS_BEFORE_LATE: i64 = 3;

/// What a pipeline under such traffic is, but for its sources.
const PIPELINE: &str = "name = \"acme\"\nperiod = \"15m\"\ngrace = \"0s\"\nwindows = [\"7d\"]\nworkers = 2\n\
     [http]\nlisten = \"127.0.0.1:0\"\n\
     [tables]\nmeters = \"meters.csv\"\nfactors = \"factors.csv\"\nnodes = \"nodes.csv\"\n\
     [[sink]]\ntype = \"delta\"\nurl = \"lake\"\ncommit_every = \"1s\"\ncompact_after = \"2s\"\n\
     [[sink]]\ntype = \"prometheus\"\n";

/// A row of the table `readings`: meter, instant, version, and the value, empty where it was withdrawn.
pub(crate) type Row = (String, i64, u32, String);

/// What goes to a source.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Its meter.
    pub(crate) meter: String,
    /// The partition it goes to, where there are partitions.
    pub(crate) lane: i32,
    /// The reading as JSON.
    pub(crate) line: String,
}

/// Something said of a slot.
#[derive(Clone, Debug)]
struct Said {
    meter: i64,
    at_ms: i64,
    version: u32,
    /// Thousandths; `None` withdraws.
    value: Option<i64>,
    lane: i32,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Traffic {
    dice: SplitMix64,
    start_ms: i64,
    /// Messages that what is said later waits for, at most.
    wait_max: i64,
    slot: i64,
    said: u64,
    /// What is said once so many messages have been said.
    later: BTreeMap<(u64, i64), Said>,
    newest: BTreeMap<(i64, i64), u32>,
    accepted: BTreeSet<Row>,
    lines: String,
}

impl Traffic {
    /// The traffic of `dice`; nothing is said yet.
    pub(crate) fn new(dice: SplitMix64) -> Self {
        Self {
            dice,
            start_ms: day_before_yesterday(),
            wait_max: i64::MAX,
            slot: 0,
            said: 0,
            later: BTreeMap::new(),
            newest: BTreeMap::new(),
            accepted: BTreeSet::new(),
            lines: String::new(),
        }
    }

    /// The same, for few messages: what is said later is said within so many.
    pub(crate) fn within(self, messages_max: i64) -> Self {
        Self { wait_max: messages_max, ..self }
    }

    /// The next message, in one of `lanes` lanes.
    pub(crate) fn next(&mut self, lanes: i32) -> Message {
        loop {
            if let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= self.said)
            {
                let said = entry.remove();
                return self.say(&said);
            }
            if let Some(said) = self.fresh(lanes) {
                return self.say(&said);
            }
        }
    }

    /// What is left to say, and the last message of each lane.
    pub(crate) fn rest(&mut self, lanes: i32) -> Vec<Message> {
        let mut rest: Vec<Said> = std::mem::take(&mut self.later).into_values().collect();
        let at_ms = self.start_ms + 60_000;
        rest.extend((0..lanes).map(|lane| Said {
            meter: END + i64::from(lane),
            at_ms,
            version: 0,
            value: Some(1_001),
            lane,
        }));
        rest.iter().map(|said| self.say(said)).collect()
    }

    /// The next slot's reading, unless it is late; what else is said of the slot waits.
    fn fresh(&mut self, lanes: i32) -> Option<Said> {
        let plain = self.plain(lanes);
        // What waits for its meter is told by arrival: a corrected one would be told twice.
        let die = self.dice.between(if plain.meter == LATE { 92 } else { 0 }, 100);
        let corrected = |version| Said { version, value: plain.value.map(better), ..plain.clone() };
        match die {
            0..6 => self.postpone(corrected(2), 1_000),
            6..8 => {
                self.postpone(plain.clone(), 1_000);
                return Some(corrected(3));
            }
            8..10 => self.postpone(Said { version: 9, value: None, ..plain.clone() }, 1_000),
            92..96 => self.postpone(plain.clone(), 500),
            96.. => {
                self.postpone(plain, 3_000);
                return None;
            }
            _ => {}
        }
        Some(plain)
    }

    fn plain(&mut self, lanes: i32) -> Said {
        let (meter, round) = (self.slot % METERS, self.slot / METERS);
        let (lap, stop) = (round / LAP, round % LAP);
        assert!(lap < STRIDE_S, "two days have no more seconds");
        let second = stop * STRIDE_S + lap;
        // The last digit tells a first value (1 to 4) from its correction (5 to 9), and is never 0: a value
        // then reads back as it was sent.
        let thousandths = if is_register(meter) {
            second * 100 + self.dice.between(1, 5)
        } else {
            self.dice.between(1, 9_999) * 10 + self.dice.between(1, 5)
        };
        let lane = self.slot % i64::from(lanes);
        let lane = i32::try_from(lane).expect("there are few lanes");
        self.slot += 1;
        let at_ms = self.start_ms + second * 1_000;
        Said { meter, at_ms, version: 0, value: Some(thousandths), lane }
    }

    fn postpone(&mut self, said: Said, messages_max: i64) {
        let wait = self.dice.between(1, messages_max.min(self.wait_max)).unsigned_abs();
        // A slot is postponed once at most, so its number tells equal ones apart.
        self.later.insert((self.said + wait, self.slot), said);
    }

    fn say(&mut self, said: &Said) -> Message {
        let Said { meter, at_ms, version, value, lane } = *said;
        let name = name(meter);
        let text = value.map(|value| format!("{}.{:03}", value / 1_000, value % 1_000));
        let newest = self.newest.get(&(meter, at_ms));
        if newest.is_none_or(|newest| *newest < version) {
            self.newest.insert((meter, at_ms), version);
            let row = (name.clone(), at_ms, version, text.clone().unwrap_or_default());
            self.accepted.insert(row);
        }
        let mut line = format!(r#"{{"meter":"{name}","observed_at_ms":{at_ms}"#);
        let rest = match text {
            Some(text) => write!(line, r#","value":{text},"unit":"kWh""#),
            None => write!(line, r#","withdraw":true"#),
        };
        rest.and_then(|()| match version {
            0 => write!(line, "}}"),
            version => write!(line, r#","version":{version}}}"#),
        })
        .expect("a String takes any text");
        self.said += 1;
        self.lines.extend([line.as_str(), "\n"]);
        Message { meter: name, lane, line }
    }

    /// How many messages were said.
    pub(crate) fn said(&self) -> u64 {
        self.said
    }

    /// All that was said, as JSON lines.
    pub(crate) fn lines(&self) -> &str {
        &self.lines
    }

    /// The rows that `readings` must hold, each once; also of a meter that is not registered yet.
    pub(crate) fn accepted(&self) -> &BTreeSet<Row> {
        &self.accepted
    }
}

/// The value of a correction.
fn better(thousandths: i64) -> i64 {
    thousandths + 5
}

fn is_register(meter: i64) -> bool {
    (INTERVALS..INTERVALS + REGISTERS).contains(&meter)
}

fn name(meter: i64) -> String {
    match meter {
        0..INTERVALS => format!("i-{meter}"),
        LATE => "late".to_owned(),
        END.. => end_of(meter - END),
        register => format!("r-{}", register - INTERVALS),
    }
}

/// The meter of a lane's last message, and its node.
pub(crate) fn end_of(lane: impl std::fmt::Display) -> String {
    format!("end-{lane}")
}

/// The facts that such traffic meets, as they are now.
#[derive(Debug)]
pub(crate) struct Facts {
    revisions: [i64; FACTORS],
    is_late_registered: bool,
}

impl Facts {
    /// The first revisions.
    pub(crate) fn new() -> Self {
        Self { revisions: [1; FACTORS], is_late_registered: false }
    }

    /// A folder with a pipeline that reads `sources`, and these facts.
    pub(crate) fn rig(&self, sources: &str) -> Rig {
        let rig = Rig::new();
        rig.write("pipeline.toml", PIPELINE.to_owned() + sources);
        rig.write("nodes.csv", nodes_csv());
        self.put(&rig);
        rig
    }

    /// Appends a revision to a factor; with the second one the meter that is late is registered.
    pub(crate) fn revise(&mut self, rig: &Rig, dice: &mut SplitMix64) {
        let factor = usize::from(dice.chance(1, 2));
        self.revisions[factor] += 1;
        self.is_late_registered |= self.revisions.iter().sum::<i64>() > REVISIONS_BEFORE_LATE;
        self.put(rig);
    }

    /// Registers the meter that is late.
    pub(crate) fn register_late(&mut self, rig: &Rig) {
        self.is_late_registered = true;
        self.put(rig);
    }

    /// How many rows `factors` holds.
    pub(crate) fn factor_rows(&self) -> i64 {
        // Two gases each.
        2 * self.revisions.iter().sum::<i64>()
    }

    /// Files appear as a whole: the program may look at any moment.
    fn put(&self, rig: &Rig) {
        for (name, content) in
            [("meters.csv", self.meters_csv()), ("factors.csv", self.factors_csv())]
        {
            if fs::read_to_string(rig.path(name)).is_ok_and(|known| known == content) {
                continue;
            }
            let new = format!("{name}.new");
            rig.write(&new, content);
            fs::rename(rig.path(&new), rig.path(name)).expect("the folder is ours");
        }
    }

    fn meters_csv(&self) -> String {
        let mut csv = String::from(
            "meter,node,kind,unit,interval,factor,valid_from,valid_to,revision,withdrawn\n",
        );
        let ends = (0..i64::from(LANES_MAX)).map(|lane| END + lane);
        let late = self.is_late_registered.then_some(LATE);
        for meter in (0..LATE).chain(late).chain(ends) {
            let (name, factor) = (name(meter), meter % 2);
            let node = if meter < END { format!("s{}", meter % 6) } else { name.clone() };
            // An interval of half an hour reaches over three periods.
            let kind = match meter {
                _ if is_register(meter) => "register,kWh,",
                0..4 => "interval,kWh,30m",
                _ => "interval,kWh,1s",
            };
            writeln!(csv, "{name},{node},{kind},f{factor},2020-01-01,,1,")
                .expect("a String takes any text");
        }
        csv
    }

    fn factors_csv(&self) -> String {
        let mut csv = String::from(
            "factor,revision,scope,category,method,gas,kg_per_unit,unit,valid_from,valid_to,source,\
             withdrawn\n",
        );
        for (factor, revisions) in self.revisions.iter().enumerate() {
            for revision in 1..=*revisions {
                for (gas, rate) in [("co2", 200_003), ("ch4", 307)] {
                    let rate = rate + 11 * revision;
                    writeln!(
                        csv,
                        "f{factor},{revision},2,0,any,{gas},0.{rate:06},kWh,2020-01-01,,a test,"
                    )
                    .expect("a String takes any text");
                }
            }
        }
        csv
    }
}

/// A group of two companies with three sites each, and a node for the last message of each lane.
fn nodes_csv() -> String {
    let mut csv = String::from("node,parent,name,valid_from,valid_to,revision,withdrawn\n");
    let mut row = |node: String, parent: &str| {
        writeln!(csv, "{node},{parent},,2020-01-01,,1,").expect("a String takes any text");
    };
    row("group".to_owned(), "");
    (0..2).for_each(|company| row(format!("c{company}"), "group"));
    (0..6).for_each(|site| row(format!("s{site}"), &format!("c{}", site % 2)));
    (0..LANES_MAX).for_each(|lane| row(end_of(lane), "group"));
    csv
}
