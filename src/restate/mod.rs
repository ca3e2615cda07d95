//! Restating what lies below the horizon: the one cold mechanism, whatever the reason.
//!
//! ```text
//!  lake, as of its newest cut K                shares of whole meters            journal        next cut C
//!  readings, activity_data ──┐             ┌─▶ hindsight ─▶ balances ─┐
//!  facts ────────────────────┼─▶ by subject┤                          ├─▶ differences ─▶ proposal ─▶ booked
//!  activity, emissions ──────┘             └─▶ ledger's balances ─────┘   (and recalls)
//!  footprints ───────────────── by day ──────▶ sums of all shares ──────▶
//! ```
//!
//! 1. The lake is read once, as of its newest cut K: what was said, what is known, what is booked. Memory holds one
//!    cut, then some subjects of a share; the rest waits in unnamed files in the state folder.
//! 2. Each share is given to the same dataflow, as if it had all been known from the beginning
//!    ([`plumeline_pipelines::hindsight`]), and what the ledger says of the same subjects is taken off. What is left
//!    is what has to be booked. A second run finds nothing. What is about a meter and a period of which nothing was
//!    booked before has reason `backfill`, and is no restatement. What changed by a factor alone says so, or by what was
//!    heard alone, or by contracts alone; the rest is `restated` (`reasons.rs`, `heard.rs`, `covered.rs`).
//!    Where there are contracts, all shares are given at once: an hour is matched with all who used energy in it. *Their
//!    memory is that of everything.*
//! 3. `footprints` are sums over all subjects: their shares are gathered by day, and the ledger's taken off.
//! 4. What is found is **proposed** to the journal, part by part; the next cut takes it along if the horizon is
//!    still that of K ([`crate::runtime`]). *So it is in the ledger whole or not at all, once, under the same rules
//!    as any cut; killed before, it is computed again.*
//! 5. What the live dataflow keeps from before the horizon may be another baseline than hindsight keeps: where it
//!    differs, it is told with the same cut. *Else a late register value would be booked below the horizon and
//!    not above.*
//!
//! What is learned after K is pending until the next restatement.

mod account;
mod covered;
mod effect;
mod heard;
mod proposing;
mod reasons;
mod recalls;
mod request;
pub(crate) mod shares;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use plumeline_pipelines::engine::{IsZero, Semigroup};
use plumeline_pipelines::hindsight::{Hindsight, hindsight};
use plumeline_pipelines::model::time::day_start;
use plumeline_pipelines::model::{
    ActivityEntry, ActivityKey, Emission, EmissionEntry, EmissionKey, Fact, FootprintEntry,
    FootprintKey, Id, Measure, Policy, Reason, Record, RestatedEntry, Subject, Tick, Wide,
};
use plumeline_pipelines::reference::add;
use plumeline_sinks::delta::{CutRows, LakeReader, Rows};
use serde::{Deserialize, Serialize};

use account::{Account, Accounts};
pub use effect::Effect;
use heard::Heard;
pub use proposing::proposing;
use reasons::{Group, History, booked as booked_lines, factors_of, group};
pub use recalls::recalls;
pub use request::{Base, Periods, Request, RestateError};
use shares::Shares;
use why::{Before, Why};

use crate::journal::as_committed;

/// Rows of a share, about: records, and entries of the ledger. Some hundred MB.
pub const SHARE_ROWS: u64 = 2_000_000;
/// Shares of meters and activities, at most: each is an open file.
const SHARES_MAX: usize = 128;
/// Shares of days: how many footprints there will be, nobody knows before.
const DAY_SHARES: usize = 64;
/// Pieces, about, that subjects of a share are split into at once: a stretch of a year in quarters of an hour is
/// 35,000 of them. With three gases a piece takes about 2.8 kB in the dataflow, since all of them come at once.
const PIECES_MAX: i64 = 100_000;
/// Thousandths that reading the tables counts for, and computing what is missing but for the sums: about as long as
/// they take.
const READING: usize = 200;
const COMPUTING: usize = 700;
/// Rows that are handed out at once.
const CHUNK_ROWS: usize = 65_536;

/// What was found, besides the entries.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The row of `restatements`.
    pub entry: RestatedEntry,
    /// Every meter and activity that was ever heard of, and what is to be kept of it from before the horizon.
    pub kept: BTreeMap<Subject, Vec<Record>>,
    /// Activities of which something was said since the horizon moved.
    pub recent: BTreeSet<Subject>,
}

/// Something of one subject.
#[derive(Debug, Serialize, Deserialize)]
enum Item {
    /// And the instant at which it came, ms.
    Record(i64, Record),
    Activity(ActivityKey, Measure),
    Emission(EmissionKey, Emission),
}

/// Computes what has to be booked as of the lake's newest cut, and hands it to `give` in chunks of
/// entries of `activity`, `emissions` and `footprints`. `None` if nothing is committed yet.
///
/// # Errors
/// If the tables or the scratch files cannot be used, or `give` has ended.
pub fn restate(
    request: &Request<'_>,
    give: &mut dyn FnMut(Rows) -> Result<(), RestateError>,
) -> Result<Option<Found>, RestateError> {
    let reader = LakeReader::open(request.lake.clone(), Arc::clone(&request.names))?;
    let Some(known) = reader.committed() else { return Ok(None) };
    restate_from(reader, known, request, give).map(Some)
}

/// [`restate`] as of an earlier cut: what it found then.
///
/// # Errors
/// As [`restate`].
pub fn restate_as_of(
    request: &Request<'_>,
    known: Tick,
    give: &mut dyn FnMut(Rows) -> Result<(), RestateError>,
) -> Result<Found, RestateError> {
    let reader = LakeReader::open(request.lake.clone(), Arc::clone(&request.names))?;
    restate_from(reader.until(Some(known)), known, request, give)
}

fn restate_from(
    mut reader: LakeReader,
    known: Tick,
    request: &Request<'_>,
    give: &mut dyn FnMut(Rows) -> Result<(), RestateError>,
) -> Result<Found, RestateError> {
    let Request { policy, periods, base, scratch, share_rows, may_go_on, .. } = *request;
    let go_on = |permille| if may_go_on(permille) { Ok(()) } else { Err(RestateError::Ended) };
    if reader.proof().is_some_and(|proof| proof.lacks_readings) {
        return Err(RestateError::Incomplete);
    }
    let policy = &as_committed(policy, reader.proof());
    let (until_ms, reason) = match periods {
        Periods::Cold => (policy.horizon(known).start_ms(policy.period_ms), Reason::Restated),
        Periods::All(reason) => (policy.period_of(known.ms()).start_ms(policy.period_ms), reason),
    };
    let count = usize::try_from(reader.rows().div_ceil(share_rows).max(1)).unwrap_or(SHARES_MAX);
    let count = count.min(SHARES_MAX);
    let mut work = Work {
        policy,
        base,
        known,
        facts: BTreeMap::new(),
        history: History::default(),
        subjects: BTreeSet::new(),
        by_subject: Shares::create(scratch, count)?,
        by_day: Shares::create(scratch, DAY_SHARES)?,
        found: Found::default(),
        from_ms: until_ms,
        until_ms,
        reason,
        moved_ms: policy.horizon_moved_ms(known),
    };
    // STEP 1.
    while let Some((_, rows)) = reader.next_cut()? {
        let (read, total) = reader.progress();
        go_on(read * READING / total.max(1))?;
        work.sort(rows)?;
    }
    drop(reader);
    // STEPS 2 and 3.
    // What contracts cover of an hour hangs on all who used energy in it: then nobody can be computed alone.
    let is_apart = !work.has_contracts();
    let mut accounts = Accounts::new();
    for share in 0..count {
        go_on(READING + share * COMPUTING / count)?;
        work.take(share, &mut accounts)?;
        if is_apart || share + 1 == count {
            let pieces_max = if is_apart { PIECES_MAX } else { i64::MAX };
            work.subjects(std::mem::take(&mut accounts), pieces_max, give)?;
        }
    }
    for share in 0..DAY_SHARES {
        go_on(READING + COMPUTING + share * (1000 - READING - COMPUTING) / DAY_SHARES)?;
        work.footprints(share, give)?;
    }
    let Work { mut found, from_ms, subjects, .. } = work;
    for subject in subjects {
        found.kept.entry(subject).or_default();
    }
    found.entry.known_ms = known.ms();
    found.entry.from_ms = from_ms;
    found.entry.to_ms = until_ms;
    Ok(found)
}

/// What is under way.
struct Work<'p> {
    policy: &'p Policy,
    base: Base<'p>,
    known: Tick,
    /// How often each fact was learned, less how often it was taken back.
    facts: BTreeMap<Fact, i64>,
    /// When they were learned, and what was restated before.
    history: History,
    subjects: BTreeSet<Subject>,
    by_subject: Shares<Item>,
    by_day: Shares<(FootprintKey, Emission)>,
    found: Found,
    from_ms: i64,
    /// Nothing is restated from here on, ms.
    until_ms: i64,
    /// Why something was booked that corrects what was booked before.
    reason: Reason,
    /// When the horizon moved last, ms.
    moved_ms: i64,
}

/// The share of something. Whoever asks twice in one process gets the same answer, which is all that matters.
fn share(of: impl Hash, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    let count = u64::try_from(count).expect("a count fits 64 bits");
    usize::try_from(hasher.finish() % count).expect("it is less than a count")
}

impl Work<'_> {
    fn start_ms(&self, key: &ActivityKey) -> i64 {
        key.period.start_ms(self.policy.period_ms)
    }

    fn put(&mut self, subject: Subject, item: &Item) -> Result<(), RestateError> {
        let share = share(subject, self.by_subject.len());
        Ok(self.by_subject.put(share, item)?)
    }

    /// Puts what the ledger booked as it must be taken off.
    fn sort(&mut self, rows: CutRows) -> Result<(), RestateError> {
        rows.restated.iter().for_each(|entry| self.history.restated(entry));
        for entry in rows.facts {
            self.history.learn(&entry);
            let count = self.facts.entry(entry.fact).or_default();
            *count += if entry.withdrawn { -1 } else { 1 };
        }
        let readings =
            rows.readings.into_iter().map(|row| (row.received_ms, Record::Reading(row.record)));
        let recent = rows.activity_data.iter().filter(|row| row.received_ms >= self.moved_ms);
        let recent = recent.map(|row| Subject::Activity(row.record.activity));
        self.found.recent.extend(recent);
        let activities = rows.activity_data.into_iter();
        let activities = activities.map(|row| (row.received_ms, Record::Activity(row.record)));
        for (received_ms, record) in readings.chain(activities) {
            let subject = record.subject();
            self.subjects.insert(subject);
            self.put(subject, &Item::Record(received_ms, record))?;
        }
        if matches!(self.base, Base::WithoutEdit(_)) {
            return Ok(());
        }
        for (key, change) in rows.activity {
            if self.start_ms(&key) < self.until_ms {
                self.put(key.subject, &Item::Activity(key, change.negated()))?;
            }
        }
        for (key, change) in rows.emissions {
            if self.start_ms(&key.activity) < self.until_ms {
                self.put(key.activity.subject, &Item::Emission(key, change.negated()))?;
            }
        }
        for (key, change) in rows.footprints {
            if key.start_ms < self.until_ms {
                self.put_footprint(key, &change.negated())?;
            }
        }
        Ok(())
    }

    fn put_footprint(&mut self, key: FootprintKey, change: &Emission) -> io::Result<()> {
        let share = share(day_start(key.start_ms), self.by_day.len());
        self.by_day.put(share, &(key, *change))
    }

    /// Whether some contract was ever known, or comes with an edit.
    fn has_contracts(&self) -> bool {
        let is_contract = |fact: &Fact| matches!(fact, Fact::Contract(_));
        let edited = match self.base {
            Base::WithoutEdit(changes) => changes.iter().any(|(fact, _)| is_contract(fact)),
            Base::Ledger => false,
        };
        edited || self.facts.keys().any(is_contract)
    }

    /// Takes the meters and activities of a share out.
    fn take(&mut self, share: usize, accounts: &mut Accounts) -> Result<(), RestateError> {
        self.by_subject.take(share, |item| match item {
            Item::Record(received_ms, record) => {
                let account = accounts.entry(record.subject()).or_default();
                account.records.push((received_ms, record));
            }
            Item::Activity(key, change) => {
                add(&mut accounts.entry(key.subject).or_default().activity, key, &change);
            }
            Item::Emission(key, change) => {
                let account = accounts.entry(key.activity.subject).or_default();
                add(&mut account.emissions, key, &change);
            }
        })?;
        Ok(())
    }

    /// What is missing of meters and activities, as many at once as come to so many pieces.
    fn subjects(
        &mut self,
        mut accounts: Accounts,
        pieces_max: i64,
        give: &mut dyn FnMut(Rows) -> Result<(), RestateError>,
    ) -> Result<(), RestateError> {
        while !accounts.is_empty() {
            let (mut together, mut pieces) = (Account::default(), 0);
            while pieces < pieces_max
                && let Some((_, account)) = accounts.pop_first()
            {
                pieces += account.pieces(self.policy.period_ms);
                let Account { records, activity, emissions } = account;
                together.records.extend(records);
                together.activity.extend(activity);
                together.emissions.extend(emissions);
            }
            self.compare(together, give)?;
        }
        Ok(())
    }

    /// What is missing of some meters and activities.
    fn compare(
        &mut self,
        account: Account,
        give: &mut dyn FnMut(Rows) -> Result<(), RestateError>,
    ) -> Result<(), RestateError> {
        let Account { records, mut activity, mut emissions } = account;
        // Another reason than the whole restatement's is looked for only below the horizon.
        let is_cold = self.reason == Reason::Restated && matches!(self.base, Base::Ledger);
        let heard = is_cold.then(|| Heard::of(&records, &self.facts));
        let records: Vec<Record> = records.into_iter().map(|(_, record)| record).collect();
        let mut facts = self.facts.clone();
        if let Base::WithoutEdit(changes) = self.base {
            let computed = hindsight(self.policy, holding(&facts), records.clone(), self.known);
            self.add(computed, -1, (&mut activity, &mut emissions))?;
            for (fact, diff) in changes {
                *facts.entry(fact.clone()).or_default() += diff;
            }
        }
        let booked = Before::of(&activity);
        let lines: Vec<EmissionKey> = emissions.keys().copied().collect();
        let factors = factors_of(&records);
        let computed = hindsight(self.policy, holding(&facts), records, self.known);
        self.add(computed, 1, (&mut activity, &mut emissions))?;
        let changed = (booked, &activity);
        let why = match &heard {
            None => Why::new(self.reason, changed),
            Some(heard) => {
                let told = self.told(&lines, &factors, (&activity, &emissions));
                let place = (self.policy, &self.history);
                Why::new(self.reason, changed).by(place, (self.facts.keys(), heard), told)
            }
        };
        let found = &mut self.found.entry;
        for key in activity.keys() {
            self.from_ms = self.from_ms.min(key.period.start_ms(self.policy.period_ms));
        }
        for (key, change) in &emissions {
            self.from_ms = self.from_ms.min(key.activity.period.start_ms(self.policy.period_ms));
            let co2e = change.co2e.get();
            let (up, down) = (found.up.get() + co2e.max(0), found.down.get() + (-co2e).max(0));
            (found.up, found.down) = (Wide::from(up), Wide::from(down));
        }
        found.activity += count(&activity);
        found.emissions += count(&emissions);
        chunks(
            activity,
            |(key, change)| ActivityEntry { key, reason: why.reason(&key, false), change },
            |rows| give(Rows::Activity(rows)),
        )?;
        chunks(
            emissions,
            |(key, change)| EmissionEntry { key, reason: why.reason(&key.activity, true), change },
            |rows| give(Rows::Emissions(rows)),
        )
    }

    /// Why emissions change that can be told why; of these `lines` booked before, activities under these `factors`.
    fn told(
        &self,
        lines: &[EmissionKey],
        factors: &BTreeMap<Id, Id>,
        (activity, emissions): (&BTreeMap<ActivityKey, Measure>, &BTreeMap<EmissionKey, Emission>),
    ) -> BTreeMap<Group, Reason> {
        let moved: BTreeSet<_> = activity.keys().map(|key| (key.subject, key.period)).collect();
        let changed = emissions.keys().map(|key| group(&key.activity));
        let changed = changed.filter(|(subject, period, ..)| !moved.contains(&(*subject, *period)));
        self.history.reasons(self.policy, booked_lines(changed, lines), factors)
    }

    /// Adds balances (1), or takes them off (-1), as tables hold them.
    fn add(
        &mut self,
        computed: Hindsight,
        sign: i8,
        (activity, emissions): (
            &mut BTreeMap<ActivityKey, Measure>,
            &mut BTreeMap<EmissionKey, Emission>,
        ),
    ) -> io::Result<()> {
        self.found.kept.extend(computed.kept);
        for (key, balance) in computed.activity {
            if self.start_ms(&key) < self.until_ms {
                let key = ActivityKey { factor: Id::NONE, ..key };
                let balance = Measure { presence: 0, ..balance };
                add(activity, key, &if sign < 0 { balance.negated() } else { balance });
            }
        }
        let signed = |has_mass, balance: &Emission| {
            let balance = columns(has_mass, balance);
            if sign < 0 { balance.negated() } else { balance }
        };
        for (key, balance) in computed.emissions {
            if self.start_ms(&key.activity) < self.until_ms {
                add(emissions, key, &signed(key.line.gas.has_mass(), &balance));
            }
        }
        for (key, balance) in computed.footprints {
            if key.start_ms < self.until_ms {
                self.put_footprint(key, &signed(key.gas.has_mass(), &balance))?;
            }
        }
        Ok(())
    }

    /// What is missing of the footprints of a share of the days.
    fn footprints(
        &mut self,
        share: usize,
        give: &mut dyn FnMut(Rows) -> Result<(), RestateError>,
    ) -> Result<(), RestateError> {
        let mut footprints = BTreeMap::new();
        self.by_day.take(share, |(key, change)| add(&mut footprints, key, &change))?;
        for key in footprints.keys() {
            self.from_ms = self.from_ms.min(key.start_ms);
        }
        self.found.entry.footprints += count(&footprints);
        chunks(
            footprints,
            |(key, change)| FootprintEntry { key, change },
            |rows| give(Rows::Footprints(rows)),
        )
    }
}

/// The facts that hold.
fn holding(facts: &BTreeMap<Fact, i64>) -> Vec<Fact> {
    facts.iter().filter(|(_, count)| **count > 0).map(|(fact, _)| fact.clone()).collect()
}

/// What the tables hold of an emission.
fn columns(has_mass: bool, balance: &Emission) -> Emission {
    let mass = if has_mass { balance.mass } else { Wide::ZERO };
    Emission { mass, presence: 0, ..*balance }
}

fn count<K, R>(balances: &BTreeMap<K, R>) -> u64 {
    u64::try_from(balances.len()).expect("a count fits 64 bits")
}

fn chunks<K: Ord, R: Semigroup + IsZero, E>(
    balances: BTreeMap<K, R>,
    entry: impl Fn((K, R)) -> E,
    mut give: impl FnMut(Vec<E>) -> Result<(), RestateError>,
) -> Result<(), RestateError> {
    let mut entries = balances.into_iter().map(entry);
    loop {
        let chunk: Vec<E> = entries.by_ref().take(CHUNK_ROWS).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        give(chunk)?;
    }
}
