//! `plumeline report show`: a lock beside the ledger as it is, and beside the company's base year.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Review;
use super::class::Class;
use super::document::{Lock, instant};
use super::figures::{Key, Totals, kilograms, percent, signed_tonnes, tonnes};
use super::lines::{Line, lines};

/// What is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The report.
    pub review: Review,
    /// The company's base year, where the report is of a later one.
    pub base: Option<Review>,
    /// Whether the report is the base year itself.
    pub is_base: bool,
}

/// What a base year would be recalculated for: its lines without it, and with it.
fn recalculated(base: &Review) -> Vec<Line> {
    let counted = base.sum_of(|change| change.class.moves_base_year(&change.reason));
    let mut with = base.lock.totals.clone();
    with.add_all(&counted);
    lines(&base.lock.totals, &with)
}

fn is_due(base: &Review) -> bool {
    recalculated(base).iter().any(|line| line.reaches(base.lock.threshold))
}

/// Lines of which the changes together are significant.
fn reached(lines: &[Line], lock: &Lock) -> Vec<String> {
    let reached = lines.iter().filter(|line| line.reaches(lock.threshold));
    let told = |line: &Line| match percent(line.change(), line.then) {
        Some(percent) => format!("{}: {percent} %", line.name),
        None => format!("{}: {} t of nothing", line.name, signed_tonnes(line.change())),
    };
    reached.map(told).collect()
}

impl Shown {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { review, base, is_base } = self;
        let mut text = head(review);
        text += &table(&lines(&review.lock.totals, &review.now), ("locked, t CO2e", "now, t CO2e"));
        text += &verdict(review);
        if *is_base {
            text += "\nit is the base year: ";
            text += &recalculation(review);
        }
        if let Some(base) = base {
            let Lock { company, .. } = &base.lock;
            let label = base.lock.label();
            // Writing to a `String` cannot fail.
            write!(text, "\n\nbeside base year {label} of {company}, as it was locked:\n")
                .unwrap_or_default();
            let then = format!("{}, t CO2e", base.lock.span.name());
            let now = format!("{} now, t CO2e", review.lock.span.name());
            text += &table(&lines(&base.lock.totals, &review.now), (&then, &now));
            text += "\nthe base year: ";
            text += &recalculation(base);
        }
        text
    }

    /// For programs: every number with all its digits.
    #[must_use]
    pub fn json(&self) -> Value {
        let Self { review, base, is_base } = self;
        let mut shown = json!({
            "lock": about(&review.lock),
            "now": instant(review.committed_ms),
            "gwp_now": review.gwp.name(),
            "lines": told(&lines(&review.lock.totals, &review.now), &review.lock),
            "totals": totals(&review.lock.totals, &review.now),
            "classes": classes(review),
            "restate": !reached(&lines(&review.lock.totals, &review.now), &review.lock).is_empty(),
        });
        let year = if *is_base { Some(review) } else { base.as_ref() };
        if let Some(year) = year {
            shown["base_year"] = json!({
                "lock": about(&year.lock),
                "counted": told(&recalculated(year), &year.lock),
                "recalculate": is_due(year),
            });
        }
        if let Some(base) = base {
            let beside = lines(&base.lock.totals, &review.now);
            shown["base_year"]["lines"] = told(&beside, &base.lock);
        }
        shown
    }
}

pub(super) fn head(review: &Review) -> String {
    let Review { lock, committed_ms, gwp, .. } = review;
    let Lock { company, span, timezone, threshold, by, note, .. } = lock;
    let [as_of, signed_off, now] = [lock.as_of_ms, lock.signed_off_ms, *committed_ms].map(instant);
    let mut text = format!(
        "{company} {}: {} to before {}, {timezone}\nas of {as_of}, signed off {signed_off}",
        lock.label(),
        span.from,
        span.to
    );
    if !by.is_empty() {
        text = format!("{text}, by {by}");
    }
    if !note.is_empty() {
        text = format!("{text}: {note}");
    }
    text = format!("{text}\nnow is {now}; threshold {threshold} %; GWP {}", lock.gwp.name());
    if *gwp != lock.gwp {
        text = format!("{text}, now {}", gwp.name());
    }
    if lock.unfinished {
        text += "\nit was locked unfinished: what was booked later is among the changes";
    }
    text + "\n\n"
}

fn table(lines: &[Line], (then, now): (&str, &str)) -> String {
    let mut text = format!("{:<40} {then:>18} {now:>18} {:>16} {:>10}\n", "", "change, t", "%");
    for line in lines {
        let change = line.change();
        let percent = percent(change, line.then).unwrap_or_else(|| "new".to_owned());
        // Writing to a `String` cannot fail.
        writeln!(
            text,
            "{:<40} {:>18} {:>18} {:>16} {percent:>10}",
            line.name,
            tonnes(line.then),
            tonnes(line.now),
            signed_tonnes(change)
        )
        .unwrap_or_default();
    }
    text
}

/// What the changes of a report mean.
pub(super) fn verdict(review: &Review) -> String {
    let Review { lock, now, changes, .. } = review;
    if changes.is_empty() {
        return "\nnothing has changed".to_owned();
    }
    let mut text = String::new();
    for class in Class::ALL {
        let sum = review.sum_of(|change| change.class == class);
        let [location, market] =
            super::lines::View::ALL.map(|view| signed_tonnes(super::lines::total(&sum, view)));
        let lines = changes.iter().filter(|change| change.class == class).count();
        if lines > 0 {
            // Writing to a `String` cannot fail.
            writeln!(
                text,
                "{:<11} {location:>16} t location-based {market:>16} t market-based, {lines} changes",
                class.name()
            )
            .unwrap_or_default();
        }
    }
    let over = reached(&lines(&lock.totals, now), lock);
    let threshold = lock.threshold;
    if over.is_empty() {
        return format!("\n{text}together they stay below the threshold of {threshold} %");
    }
    let mut with = lock.totals.clone();
    with.add_all(&review.sum_of(|change| change.class == Class::Error));
    let errors = reached(&lines(&lock.totals, &with), lock);
    let why = if errors.is_empty() {
        "restate the report, or disclose the change, as your policy says"
    } else {
        "restate the report: errors alone are material (ESRS 1, 96 to 98)"
    };
    format!("\n{text}the threshold of {threshold} % is reached by {}\n{why}", over.join("; "))
}

/// What the changes of a base year mean.
fn recalculation(base: &Review) -> String {
    let threshold = base.lock.threshold;
    let over = reached(&recalculated(base), &base.lock);
    if over.is_empty() {
        return format!(
            "errors, other structures, methods and factors together stay below its threshold of {threshold} %: it \
             holds"
        );
    }
    format!(
        "base year must be recalculated: significant. Errors, other structures, methods and factors together reach \
         {threshold} %: {}",
        over.join("; ")
    )
}

pub(super) fn about(lock: &Lock) -> Value {
    json!({
        "company": lock.company,
        "label": lock.label(),
        "period": lock.span.name(),
        "number": lock.number,
        "from": lock.span.from.to_string(),
        "to": lock.span.to.to_string(),
        "timezone": lock.timezone,
        "as_of": instant(lock.as_of_ms),
        "signed_off": instant(lock.signed_off_ms),
        "threshold_percent": lock.threshold.to_string(),
        "base_year": lock.base_year,
        "unfinished": lock.unfinished,
        "by": lock.by,
        "note": lock.note,
        "gwp": lock.gwp.name(),
    })
}

/// Lines, in kg; those of outside of scopes are of mass.
fn told(lines: &[Line], lock: &Lock) -> Value {
    let told = |line: &Line| {
        json!({
            "line": line.name,
            "locked_kg": kilograms(line.then),
            "now_kg": kilograms(line.now),
            "change_kg": kilograms(line.change()),
            "percent": percent(line.change(), line.then),
            "reaches_threshold": line.is_measured.then(|| line.reaches(lock.threshold)),
        })
    };
    lines.iter().map(told).collect()
}

fn totals(then: &Totals, now: &Totals) -> Value {
    let mut all = then.clone();
    all.add_all(now);
    let told = |key: &Key| {
        let mass = |mass: i128| key.gas.has_mass().then(|| kilograms(mass));
        let (then, now) = (then.of(*key), now.of(*key));
        json!({
            "scope": key.scope,
            "category": key.category,
            "method": key.method.name(),
            "gas": key.gas.name(),
            "locked_mass_kg": mass(then.mass),
            "now_mass_kg": mass(now.mass),
            "locked_co2e_kg": kilograms(then.co2e),
            "now_co2e_kg": kilograms(now.co2e),
        })
    };
    all.0.keys().map(told).collect()
}

fn classes(review: &Review) -> Value {
    let told = |class: Class| {
        let sum = review.sum_of(|change| change.class == class);
        let [location, market] =
            super::lines::View::ALL.map(|view| kilograms(super::lines::total(&sum, view)));
        json!({ "class": class.name(), "location_kg": location, "market_kg": market })
    };
    Class::ALL.map(told).into_iter().collect()
}
