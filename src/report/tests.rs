//! Synthetic entries: the list of changes, its sums, and what they mean.

use std::sync::Arc;

use plumeline_pipelines::model::{
    Cause, Emission, Fact, Gas, Id, Method, Names, NodeRow, Tick, Validity, Wide,
};
use plumeline_sinks::delta::{Booked, FactEntry, TableName};

use super::changes::{Affected, Change, Gathered};
use super::class::Class;
use super::document::tests::lock;
use super::figures::{Key, Sum, Totals};
use super::locks::Locks;
use super::show::Shown;
use super::tree::Forest;
use super::{Lock, ReportError, Review, balanced, lines, unchanged};

/// 1e-21 kg in a tonne.
const TONNE: i128 = 1_000_000_000_000_000_000_000_000;

fn cut(ms: i64) -> Tick {
    Tick::new(ms, Cause::Cut)
}

/// A company, and what is told of it.
struct Company {
    names: Arc<Names>,
    lock: Lock,
    gathered: Gathered,
}

impl Company {
    /// `plant` and `shop` below `acme`; the plant leaves at 90 after the lock. The report was signed 50 after it.
    fn new() -> Self {
        let names = Arc::new(Names::new());
        let mut lock = lock("acme");
        lock.signed_off_ms = lock.as_of_ms + 50;
        lock.totals = Totals::default();
        let mut forest = Forest::default();
        let row = |node: &str, parent: &str, revision: i64| {
            let id = |name: &str| if name.is_empty() { Id::NONE } else { names.intern(name) };
            let validity = Validity::ALWAYS;
            let (node, parent, name) = (id(node), id(parent), id(node));
            let fact = Fact::Node(NodeRow { node, parent, name, validity, revision });
            FactEntry { fact, withdrawn: false, learned_ms: 0 }
        };
        for node in [row("acme", "", 1), row("plant", "acme", 1), row("shop", "acme", 1)] {
            forest.add(cut(1), node);
        }
        forest.add(cut(lock.as_of_ms + 90), row("plant", "other", 2));
        let gathered = Gathered::new(names.intern("acme"), lock.as_of_ms, forest);
        Self { names, lock, gathered }
    }

    fn row(&self, at: i64, node: &str, tonnes: i128) -> Booked {
        let mass = Wide::new(tonnes * TONNE);
        Booked {
            table: TableName::Footprints,
            cut: cut(self.lock.as_of_ms + at),
            start_ms: self.lock.span.from_ms,
            node: self.names.intern(node),
            subject: Id::NONE,
            scope: 2,
            category: 0,
            method: Method::Location,
            gas: Gas::Co2,
            gwp: None,
            reason: Id::NONE,
            change: Emission { mass, co2e: mass, presence: 0 },
        }
    }

    /// What footprints of the company say.
    fn footprint(&mut self, at: i64, tonnes: i128) {
        let row = self.row(at, "acme", tonnes);
        self.gathered.footprint(&row);
    }

    /// An entry of a meter at a node, and of the footprints above it if they have it.
    fn emission(&mut self, at: i64, (node, meter): (&str, &str), (reason, tonnes): (&str, i128)) {
        let row = self.row(at, node, tonnes);
        let [subject, reason] = [meter, reason].map(|name| self.names.intern(name));
        self.gathered.emission(&Booked { subject, reason, table: TableName::Emissions, ..row });
    }

    fn review(mut self) -> Review {
        self.lock.totals = self.gathered.then.clone();
        let (changes, listed) = self.gathered.list(&self.names, &self.lock);
        let now = self.gathered.now();
        balanced(&self.lock, &listed, &now.minus(&self.lock.totals)).unwrap();
        let Self { lock, .. } = self;
        Review { committed_ms: lock.as_of_ms + 1000, gwp: lock.gwp, lock, now, changes }
    }
}

fn told(change: &Change) -> String {
    let Change { reason, class, entries, .. } = change;
    let [sum, together] = [change.sum().co2e, change.cumulative_location].map(|co2e| co2e / TONNE);
    format!("{} {reason} {sum} of {entries}: {together}", class.name())
}

/// A ledger of 1000 t, a late reading before sign-off and after, a factor, and a plant that leaves.
fn reported() -> Review {
    let mut company = Company::new();
    company.footprint(-10, 600);
    company.footprint(0, 400);
    company.emission(30, ("plant", "m-1"), ("reading_late", 10));
    company.footprint(30, 10);
    company.emission(60, ("plant", "m-1"), ("reading_late", 7));
    company.emission(60, ("shop", "m-2"), ("reading_late", -3));
    company.emission(60, ("elsewhere", "m-3"), ("reading_late", 1000));
    company.footprint(60, 4);
    company.emission(70, ("plant", "m-1"), ("factor_error", 26));
    company.footprint(70, 26);
    // It leaves, and its meter is late once more: that is somebody else's now.
    company.emission(90, ("plant", "m-1"), ("reading_late", 5));
    company.emission(90, ("shop", "m-2"), ("reading_late", 1));
    company.footprint(90, -599);
    company.review()
}

#[test]
fn the_list_tells_what_was_known_and_adds_up() {
    let review = reported();
    let lines: Vec<String> = review.changes.iter().map(told).collect();
    assert_eq!(
        lines,
        [
            "error reading_late 10 of 1: 10",
            "estimate reading_late 4 of 2: 14",
            "error factor_error 26 of 1: 40",
            "estimate reading_late 1 of 1: 41",
            "structural structural -600 of 0: -559",
        ]
    );
    let change = review.now.minus(&review.lock.totals);
    assert_eq!(review.sum_of(|_| true), change);
    assert_eq!(lines::total(&review.now, lines::View::Location), 441 * TONNE);
    let named = |of: &Affected| {
        let told = |(name, sum): &(String, Option<i128>)| (name.clone(), sum.map(|s| s / TONNE));
        (of.count, of.most.iter().map(told).collect::<Vec<_>>())
    };
    let (second, last) = (&review.changes[1], &review.changes[4]);
    let most = vec![("m-1".to_owned(), Some(7)), ("m-2".to_owned(), Some(-3))];
    assert_eq!(named(&second.subjects), (Some(2), most));
    assert_eq!(named(&last.nodes), (Some(1), vec![("plant".to_owned(), None)]));
}

#[test]
fn the_text_says_what_it_means() {
    let review = reported();
    let shown = Shown { review: review.clone(), base: None, is_base: true };
    let text = shown.text();
    for line in [
        "Scope 2, location-based                            1000.000            441.000         -559.000    -55.900",
        "the threshold of 5 % is reached by Scope 2, location-based: -55.900 %; Total, location-based: -55.900 %",
        "restate the report, or disclose the change, as your policy says",
        "base year must be recalculated: significant",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let json = shown.json();
    assert_eq!(json["classes"][0]["location_kg"], "36000", "{json:#}");
    assert_eq!(json["base_year"]["recalculate"], true);
    let list = review.list();
    assert!(list.contains("at plant, shop of m-1, m-2"), "{list}");
    assert_eq!(review.list_json()["changes"][4]["cumulative_location_kg"], "-559000");
}

#[test]
fn many_small_changes_count_together_and_errors_alone_are_told() {
    let mut company = Company::new();
    company.footprint(0, 1000);
    for at in 1..=5 {
        company.emission(at, ("plant", "m-1"), ("restated", 10));
        company.footprint(at, 10);
    }
    let review = company.review();
    let text = Shown { review: review.clone(), base: None, is_base: false }.text();
    assert!(text.contains("restate the report: errors alone are material"), "{text}");
    let higher =
        Lock { threshold: super::figures::Threshold::parse("5.001").unwrap(), ..review.lock };
    let text =
        Shown { review: Review { lock: higher, ..review }, base: None, is_base: false }.text();
    assert!(text.contains("together they stay below the threshold of 5.001 %"), "{text}");
}

#[test]
fn a_base_year_is_not_recalculated_for_growth() {
    let mut company = Company::new();
    company.footprint(0, 1000);
    company.emission(60, ("plant", "m-1"), ("reading_late", 100));
    company.footprint(60, 100);
    let base = company.review();
    assert_eq!(base.changes[0].class, Class::Estimate);
    let shown = Shown { review: base.clone(), base: Some(base), is_base: false };
    let (text, json) = (shown.text(), shown.json());
    assert!(text.contains("the base year: errors, other structures"), "{text}");
    assert_eq!(
        (&json["restate"], &json["base_year"]["recalculate"]),
        (&true.into(), &false.into())
    );
}

#[test]
fn more_subjects_than_can_be_held_are_counted_no_more() {
    let mut company = Company::new();
    company.gathered.tracked_max = 3;
    for meter in 0..9 {
        company.emission(60, ("plant", &format!("m-{meter}")), ("restated", 1));
        company.footprint(60, 1);
    }
    let review = company.review();
    let change = &review.changes[0];
    assert_eq!((change.subjects.count, change.entries), (None, 9));
    assert_eq!(change.sum().co2e, 9 * TONNE, "sums are exact all the same");
    assert!(review.list().contains("and many more"), "{}", review.list());
}

#[test]
fn what_does_not_add_up_is_a_broken_invariant() {
    let lock = lock("acme");
    let mut other = lock.totals.clone();
    assert!(unchanged(&lock, &other).is_ok());
    let key = Key { scope: 1, category: 0, method: Method::Any, gas: Gas::Co2 };
    other.add(key, Sum { mass: 0, co2e: 1 });
    let error = unchanged(&lock, &other).unwrap_err();
    assert!(matches!(error, ReportError::Rewritten(_)));
    let said = error.to_string();
    assert!(said.contains("1000.000000000000000000001 kg CO2e"), "{said}");
    let error = balanced(&lock, &lock.totals, &other).unwrap_err();
    assert!(matches!(error, ReportError::Unbalanced(_)), "{error}");
}

#[test]
fn one_lock_is_the_base_year_of_a_company() {
    let with = |number: u32, base_year: bool, supersedes: Option<&str>| Lock {
        number,
        base_year,
        supersedes: supersedes.map(ToOwned::to_owned),
        ..lock("acme")
    };
    let base = |locks: &[Lock]| Locks(locks.to_vec()).base_year("acme").map(Lock::label);
    assert_eq!(base(&[with(1, false, None)]), None);
    let (first, second) = (with(1, true, None), with(3, true, Some("2025-1")));
    let both = [first.clone(), with(2, false, None), second];
    assert_eq!(base(&both[..2]).as_deref(), Some("2025-1"));
    assert_eq!(base(&both).as_deref(), Some("2025-3"));
    // Two that were locked at once.
    let later = Lock { as_of_ms: first.as_of_ms + 1, ..with(4, true, None) };
    assert_eq!(base(&[later, first.clone()]).as_deref(), Some("2025-4"));
    assert_eq!(base(&[Lock { company: "other".into(), ..first }]), None);
    let told = Locks(both.to_vec()).told();
    assert!(told.contains("2025-1: as of") && told.contains("was base year"), "{told}");
}
