//! The tree for people: a line a sum, what it comes from below it, units at every step.
//!
//! Numbers are rounded to three places, and the exact one follows in brackets wherever that is another.

use std::fmt::Write;
use std::sync::Arc;

use plumeline_pipelines::model::quantity::{AMOUNT_SCALE, MASS_SCALE, RATE_SCALE};
use plumeline_pipelines::model::time::LATEST_MS;
use plumeline_pipelines::model::{Decimal, Matching, MeterKind, Method, PriceRow, Unit, Validity};

use super::Explanation;
use super::amount::{ActivityPart, AmountStory, MeterPart, Part, Readings};
use super::booked::Written;
use super::covered::CoveredPart;
use super::known::Life;
use super::priced::Step;
use super::rate::{RateStory, Version};
use super::sum::{Sum, co2e, exact, shown as amount_of};
use super::tree::{Branch, Frame, LineStory, UseStory, What, Without};
use super::weighed::Weighed;
use crate::verify::shown;

/// Cuts, and amounts without emissions, that are listed; of the others their number is told.
const LISTED: usize = 10;

/// What is printed.
#[must_use]
pub fn show(explanation: &Explanation) -> String {
    let Explanation { selection, names, facts, tree, again, notes } = explanation;
    let mut text = String::new();
    line(&mut text, "", &format!("{} of {}", co2e(tree.sum.co2e), selection.told(names)));
    line(
        &mut text,
        "  ",
        &format!("as known at {}, in GWP set {}", shown(facts.until_ms), facts.gwp.name()),
    );
    for gas in masses(&tree.sum) {
        line(&mut text, "  ", &gas);
    }
    for told in history(facts) {
        line(&mut text, "  ", &told);
    }
    children(&mut text, "", tree);
    if !facts.without.is_empty() {
        line(&mut text, "", "amounts below it that emitted nothing of this:");
        for Without { kind, subject, node, amount, unit } in facts.without.iter().take(LISTED) {
            let amount = amount_of(*amount, AMOUNT_SCALE, unit.symbol());
            line(&mut text, "  ", &format!("{kind} {subject} at {node}: {amount}"));
        }
        if let Some(more) = facts.without.len().checked_sub(LISTED).filter(|more| *more > 0) {
            line(&mut text, "  ", &format!("and {more} more"));
        }
    }
    for note in notes {
        line(&mut text, "", &format!("note: {note}"));
    }
    line(&mut text, "", &again.to_string());
    text
}

/// Writing to a `String` cannot fail.
fn line(text: &mut String, prefix: &str, told: &str) {
    writeln!(text, "{prefix}{told}").unwrap_or_default();
}

fn masses(sum: &Sum) -> Vec<String> {
    let mass = |(gas, mass): (&plumeline_pipelines::model::Gas, &i128)| {
        format!("{}: {}", gas.name(), amount_of(*mass, MASS_SCALE, "kg"))
    };
    sum.masses.iter().map(mass).collect()
}

/// Which entries it is the sum of: of the node, and of what is below it.
fn history(facts: &Frame) -> Vec<String> {
    let mut told = vec!["entries of `footprints`:".to_owned()];
    let of = |(at_ms, written): &(i64, Written)| (*at_ms, String::new(), *written);
    told.extend(listed(facts.footprints.iter().map(of)));
    told.push("entries of `emissions` below it:".to_owned());
    let (booked, bounds) = &facts.booked;
    if let Some((from, to)) = bounds {
        let to = if from == to { String::new() } else { format!(" to {}", shown(*to)) };
        let when = format!("{}{to}", shown(*from));
        told.push(format!("  {} booked {when}: {}", booked.entries, signed(booked.co2e)));
    }
    let of = |(at_ms, reason, written): &(i64, Arc<str>, Written)| {
        (*at_ms, format!("{reason} "), *written)
    };
    told.extend(listed(facts.restated.iter().map(of)));
    told
}

/// A line a cut; of those that are too many, one.
fn listed(cuts: impl Iterator<Item = (i64, String, Written)>) -> Vec<String> {
    let (mut told, mut others, mut sum) = (Vec::new(), 0, 0);
    for (at_ms, why, written) in cuts {
        if told.len() < LISTED {
            let (entries, co2e) = (written.entries, signed(written.co2e));
            told.push(format!("  {entries} {why}{}: {co2e}", shown(at_ms)));
        } else {
            (others, sum) = (others + written.entries, sum + written.co2e);
        }
    }
    if others > 0 {
        told.push(format!("  and {others} later: {}", signed(sum)));
    }
    told
}

fn signed(sum: i128) -> String {
    if sum < 0 { co2e(sum) } else { format!("+{}", co2e(sum)) }
}

fn children(text: &mut String, prefix: &str, branch: &Branch) {
    let count = branch.children.len();
    for (index, child) in branch.children.iter().enumerate() {
        let is_last = index + 1 == count && branch.rest.is_none();
        let (knot, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        line(text, &format!("{prefix}{knot}"), &head(child));
        let below = format!("{prefix}{below}");
        let trunk = if child.children.is_empty() { "   " } else { "│  " };
        for detail in details(child) {
            line(text, &format!("{below}{trunk}"), &detail);
        }
        children(text, &below, child);
    }
    if let Some((count, sum)) = &branch.rest {
        line(text, &format!("{prefix}└─ "), &format!("{count} others: {}", told(sum)));
    }
}

/// A sum; of what has no CO2e, the masses.
fn told(sum: &Sum) -> String {
    if sum.co2e == 0 && !sum.masses.is_empty() { masses(sum).join(", ") } else { co2e(sum.co2e) }
}

fn head(branch: &Branch) -> String {
    let sum = told(&branch.sum);
    match &branch.what {
        What::Number => sum,
        What::Part { scope: 0, .. } => format!("outside of scopes: {sum}"),
        What::Part { scope, category, method } => {
            let category =
                if *category == 0 { String::new() } else { format!(", category {category}") };
            let method = match method {
                Method::Any => String::new(),
                method => format!(", {}-based", method.name()),
            };
            format!("scope {scope}{category}{method}: {sum}")
        }
        What::Leaf { node, name } if name.is_empty() => format!("node {node}: {sum}"),
        What::Leaf { node, name } => format!("node {node} ({name}): {sum}"),
        What::Subject { kind, name } => format!("{kind} {name}: {sum}"),
        What::Use(story) => use_head(story, &sum),
        What::Line(story) => line_head(story, &branch.sum),
        What::Unexplained => {
            format!("in `footprints`, and in no `emissions` below the node: {sum}")
        }
    }
}

fn use_head(story: &UseStory, sum: &str) -> String {
    let UseStory { factor, revision, unit, amount } = story;
    let amount = amount_of(amount.amount, AMOUNT_SCALE, unit.symbol());
    format!("{amount} under factor {factor} revision {revision}: {sum}")
}

/// `co2: 210 kWh x 0.5 kg/kWh = 105 kg; x 0.5 kg CO2e/kWh = 105 kg CO2e`.
fn line_head(story: &LineStory, sum: &Sum) -> String {
    let LineStory { rate, amount, .. } = story;
    let gas = rate.line.gas;
    let amount = format!("{} {}", exact(*amount, AMOUNT_SCALE), rate.unit);
    let mass = gas.has_mass().then(|| {
        let mass = sum.masses.get(&gas).copied().unwrap_or_default();
        format!("{amount} x {} = {}; ", rate.rate_text(), amount_of(mass, MASS_SCALE, "kg"))
    });
    let mass = mass.unwrap_or_default();
    let co2e_rate = rate.co2e_rate.map_or_else(|| "?".to_owned(), |rate| exact(rate, RATE_SCALE));
    format!(
        "{}: {mass}{amount} x {co2e_rate} kg CO2e/{} = {}",
        gas.name(),
        rate.unit,
        co2e(sum.co2e)
    )
}

fn details(branch: &Branch) -> Vec<String> {
    match &branch.what {
        What::Use(story) => amount(&story.amount, story.unit),
        What::Line(story) => rate(story),
        _ => Vec::new(),
    }
}

fn rate(story: &LineStory) -> Vec<String> {
    let rate = &story.rate;
    let mut told = Vec::new();
    match &rate.weighed {
        None => told.extend(rate.versions.iter().flat_map(|version| version_of(rate, version))),
        Some(weighed) => told.extend(mean(rate, weighed)),
    }
    told.push(format!("calc_id {}", rate.calc_id));
    told.extend(story.problem.iter().map(|problem| format!("PROBLEM: {problem}")));
    told
}

/// A version's rate, and where it is published.
fn version_of(rate: &RateStory, version: &Version) -> Vec<String> {
    let co2e = if rate.line.scope == 0 {
        "CO2e: none, outside of scopes".to_owned()
    } else {
        format!(
            "CO2e rate: the same x GWP {} ({}), rounded half-even to 1e-12 kg",
            rate.gwp_value(),
            rate.gwp.name()
        )
    };
    let mut told = vec![format!("rate: {}", rate.formula(version)), co2e];
    told.extend(version.prices.iter().map(price));
    told.push(publication(version));
    told
}

fn price(step: &Step) -> String {
    let PriceRow { unit, to, rate, per, validity, revision, .. } = &step.row;
    let source = if step.source.is_empty() { "no source is named" } else { &step.source };
    let (name, held, lived) = (&step.name, valid(*validity), lived(step.life));
    format!(
        "price {name} revision {revision}: {per} {unit} are {rate} {to}; {source}; {held}; {lived}"
    )
}

/// Two years' versions, each with its days, and their mean.
fn mean(rate: &RateStory, weighed: &Weighed) -> Vec<String> {
    let mut told = Vec::new();
    for (at, share) in weighed.shares.iter().enumerate() {
        let days = format!("{} of {} days", share.days, weighed.days());
        let versions = rate.versions.iter().filter(|version| version.share == at);
        let lines: Vec<String> = versions.flat_map(|version| version_of(rate, version)).collect();
        let [of, co2e] = [share.rate, share.co2e_rate].map(|rate| exact(rate, RATE_SCALE));
        let unit = rate.unit;
        told.push(if lines.is_empty() {
            format!("{days}: no such line, which counts as 0")
        } else {
            format!("{days}: {of} kg/{unit}, {co2e} kg CO2e/{unit}")
        });
        told.extend(lines.into_iter().map(|line| format!("  {line}")));
    }
    let [of, co2e] = weighed.formulas();
    told.extend([format!("mean rate: {of}"), format!("mean CO2e rate: {co2e}")]);
    told
}

fn publication(version: &Version) -> String {
    let source = if version.source.is_empty() { "no source is named" } else { &version.source };
    let superseded = version.superseded.map_or_else(String::new, |(revision, ms)| {
        format!(", superseded by revision {revision} {}", shown(ms))
    });
    let validity = valid(version.validity);
    format!("published: {source}; {validity}; {}{superseded}", lived(version.life))
}

fn valid(validity: Validity) -> String {
    let from = if validity.from_ms == 0 { "ever".to_owned() } else { shown(validity.from_ms) };
    if validity.to_ms >= LATEST_MS {
        return format!("valid from {from} on");
    }
    format!("valid from {from} to {}", shown(validity.to_ms))
}

fn lived(life: Life) -> String {
    let withdrawn =
        life.withdrawn_ms.map_or_else(String::new, |ms| format!(", withdrawn {}", shown(ms)));
    format!("learned {}{withdrawn}", shown(life.learned_ms))
}

fn amount(story: &AmountStory, unit: Unit) -> Vec<String> {
    let mut told = vec![format!(
        "amount: {} over {}, {} s of them covered",
        amount_of(story.amount, AMOUNT_SCALE, unit.symbol()),
        counted(story.periods, "period"),
        exact(story.covered_ms.into(), 3)
    )];
    for part in &story.parts {
        match part {
            Part::Meter(part) => told.extend(meter(part, unit)),
            Part::Activity(part) => told.extend(activity(part, unit)),
            Part::Covered(part) => told.extend(covered(part, unit)),
        }
    }
    if story.unexplained != 0 {
        let missing = amount_of(story.unexplained, AMOUNT_SCALE, unit.symbol());
        told.push(format!("  {missing}: of nothing that is known at T"));
    }
    told
}

fn covered(part: &CoveredPart, unit: Unit) -> Vec<String> {
    let CoveredPart { row, life, amount, load, certificates: (count, wh) } = part;
    let amount_of = |amount| amount_of(amount, AMOUNT_SCALE, unit.symbol());
    let what = if *amount < 0 { "taken off the residual mix" } else { "told at its own factor" };
    let proven = if row.counts() { "all five" } else { "not all" };
    let within = match row.matching {
        Matching::Hourly1 => "these hours",
        Matching::Monthly1 => "these months",
        Matching::Annual1 => "these years",
    };
    vec![
        format!("  {}: {what}; the load there is {}", amount_of(*amount), amount_of(*load)),
        format!(
            "    row of `contracts`: supply {}, {}, priority {}; {proven} quality criteria have evidence; revision {}, {}; {}",
            row.supply.name(),
            row.matching.name(),
            row.priority,
            row.revision,
            valid(row.validity),
            lived(*life)
        ),
        format!("    {} of {wh} Wh for {within}", counted(*count, "certificate")),
    ]
}

fn meter(part: &MeterPart, unit: Unit) -> Vec<String> {
    let MeterPart { row, life, amount, spans, split, readings } = part;
    let of = row.unit.map_or_else(|| "the unit as sent".to_owned(), |unit| unit.to_string());
    let multiplier = if row.multiplier == Decimal::ONE {
        String::new()
    } else {
        format!(" x {}", row.multiplier)
    };
    let split = if *split == 0 {
        "within one period each".to_owned()
    } else {
        format!("{split} split over periods by time (floor of amount x share, cumulated)")
    };
    let mut told = vec![
        format!(
            "  {}: {}, {split}",
            amount_of(*amount, AMOUNT_SCALE, unit.symbol()),
            counted(*spans, "stretch")
        ),
        format!(
            "    row of `meters`: {} in {of}{multiplier}, {} rounded half-even to 1e-9 {unit}; revision {}, {}; {}",
            row.kind.name(),
            rounded(row.kind),
            row.revision,
            valid(row.validity),
            lived(*life)
        ),
    ];
    told.extend(evidence(readings));
    told
}

/// What of a meter is rounded.
fn rounded(kind: MeterKind) -> &'static str {
    match kind {
        MeterKind::Interval => "each value",
        MeterKind::Register => "each position",
        MeterKind::Power => "value x time held",
    }
}

/// `1 reading`, `2 readings`.
fn counted(count: usize, what: &str) -> String {
    let plural = match (count, what.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {what}{plural}")
}

fn evidence(readings: &Readings) -> Vec<String> {
    let (first_ms, first) = &readings.first;
    let (last_ms, last) = &readings.last;
    let mut told = vec![format!(
        "    {}: {first} at {} to {last} at {}; xxh3-128 {}",
        counted(readings.count, "reading"),
        shown(*first_ms),
        shown(*last_ms),
        readings.hash
    )];
    for (source, (count, from, to)) in &readings.sources {
        told.push(format!("      {count} of source {source}, positions {from} to {to}"));
    }
    told
}

fn activity(part: &ActivityPart, unit: Unit) -> Vec<String> {
    let ActivityPart { record, source, learned_ms, amount } = part;
    let value = record.value.map_or_else(String::new, |value| value.to_string());
    vec![
        format!(
            "  {} of {value} {} from {} to {}, spread by time (floor of amount x share, cumulated)",
            amount_of(*amount, AMOUNT_SCALE, unit.symbol()),
            record.unit,
            shown(record.from_ms),
            shown(record.to_ms)
        ),
        format!(
            "    row of `activity_data`: {}, version {}, learned {}, source {source}, position {}",
            record.quality.name(),
            record.version,
            shown(*learned_ms),
            record.arrival.position
        ),
    ]
}
