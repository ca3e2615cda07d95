//! The tree for machines: one JSON document. Keys stand in alphabetical order, quantities are exact decimals as text
//! with their unit beside them, instants are RFC 3339 in UTC.
//!
//! ```text
//! {
//!   "as_of", "gwp", "semantics_version"
//!   "selection": {"node", "from", "to", "scope"|null, "category"|null, "method", "gas"|null}
//!   "entries": {"footprints": [{"at", "entries", "co2e_kg"}], "booked": {"entries", "co2e_kg", "from", "to"},
//!               "restated": [{"at", "reason", "entries", "co2e_kg"}]}
//!   "tree": BRANCH
//!   "without_emissions": [{"kind", "subject", "node", "amount", "unit"}]
//!   "notes": [text]
//!   "again": {"outcome": "same"|"differs"|"impossible", "told": text}
//! }
//!
//! BRANCH   {"what", ..., "sum": SUM, "children": [BRANCH], "rest": {"count", "sum": SUM}|null}
//!          children and rest add up to sum, exactly
//! SUM      {"co2e_kg": text, "mass_kg": {gas: text}}
//! what     number · part (scope, category, method) · node (node, name) · subject (kind, subject) ·
//!          use (factor, revision, unit, amount: AMOUNT) · line (LINE) · unexplained
//! AMOUNT   {"amount", "unit", "covered_ms", "periods", "unexplained", "parts": [METER|ACTIVITY]}: parts and
//!          unexplained add up to amount
//! METER    {"kind": "meter", "amount", "row": {...}, "stretches", "split", "readings": {"count", "first", "last",
//!          "hash", "sources": [{"source", "count", "from", "to"}]}}
//! ACTIVITY {"kind": "activity", "amount", "row": {...}}
//! LINE     {"gas", "scope", "category", "method", "revision", "unit", "amount", "rate_kg_per_unit",
//!          "co2e_rate_kg_per_unit"|null, "gwp": {"set", "value"}, "calc_id", "versions": [{"kg_per_unit", "unit", "ratio",
//!          "prices": [PRICE], "valid_from", "valid_to", "source", "learned_at", "withdrawn_at"|null, "superseded"|null,
//!          "share"|null}], "weighed": {"days", "shares": [{"days", "rate_kg_per_unit", "co2e_rate_kg_per_unit"}],
//!          "sums", "means"}|null, "problem"|null}
//!          two years that blend: each version's `share` says which one it is of; sums / days, rounded half-even, are the
//!          means; both are of the rate and of the CO2e rate
//! PRICE    {"price", "revision", "unit", "to", "rate", "per", "source", "valid_from", "valid_to", "learned_at",
//!          "withdrawn_at"|null}: the steps from the activity's money to that of the factor; their product is `ratio`
//! ```

use plumeline_pipelines::model::quantity::{AMOUNT_SCALE, RATE_SCALE};
use plumeline_pipelines::model::{Gas, MeterRow, Unit, Validity};
use serde_json::{Map, Value, json};

use super::Explanation;
use super::amount::{ActivityPart, AmountStory, MeterPart, Part, Readings};
use super::covered::CoveredPart;
use super::known::Life;
use super::priced::Step;
use super::rate::{RateStory, Version};
use super::sum::{Sum, exact, kg};
use super::tree::{Branch, Frame, LineStory, What, Without};
use super::weighed::Weighed;
use crate::journal::SEMANTICS_VERSION;
use crate::verify::shown;

/// See the module's documentation.
pub(super) fn document(explanation: &Explanation) -> String {
    let Explanation { selection, names, facts, tree, again, notes } = explanation;
    let without = facts.without.iter().map(|Without { kind, subject, node, amount, unit }| {
        let (amount, unit) = (exact(*amount, AMOUNT_SCALE), unit.symbol());
        json!({ "kind": kind, "subject": **subject, "node": **node, "amount": amount, "unit": unit })
    });
    let document = json!({
        "as_of": shown(facts.until_ms),
        "gwp": facts.gwp.name(),
        "semantics_version": SEMANTICS_VERSION,
        "selection": {
            "node": *names.name(selection.node),
            "from": shown(selection.from_ms),
            "to": shown(selection.to_ms),
            "scope": selection.scope,
            "category": selection.category,
            "method": selection.wanted.name(),
            "gas": selection.gas.map(Gas::name),
        },
        "entries": entries(facts),
        "tree": branch(tree),
        "without_emissions": without.collect::<Vec<_>>(),
        "notes": notes,
        "again": { "outcome": again.name(), "told": again.to_string() },
    });
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn entries(facts: &Frame) -> Value {
    let (booked, bounds) = &facts.booked;
    let restated = facts.restated.iter().map(|(ms, reason, written)| {
        let (entries, co2e) = (written.entries, kg(written.co2e));
        json!({ "at": shown(*ms), "reason": **reason, "entries": entries, "co2e_kg": co2e })
    });
    let footprints = facts.footprints.iter().map(|(ms, written)| {
        json!({ "at": shown(*ms), "entries": written.entries, "co2e_kg": kg(written.co2e) })
    });
    json!({
        "footprints": footprints.collect::<Vec<_>>(),
        "booked": {
            "entries": booked.entries,
            "co2e_kg": kg(booked.co2e),
            "from": bounds.map(|(from, _)| shown(from)),
            "to": bounds.map(|(_, to)| shown(to)),
        },
        "restated": restated.collect::<Vec<_>>(),
    })
}

fn sum(sum: &Sum) -> Value {
    let masses =
        sum.masses.iter().map(|(gas, mass)| (gas.name().to_owned(), Value::from(kg(*mass))));
    json!({ "co2e_kg": kg(sum.co2e), "mass_kg": masses.collect::<Map<_, _>>() })
}

fn branch(of: &Branch) -> Value {
    let mut told = match &of.what {
        What::Number => json!({ "what": "number" }),
        What::Part { scope, category, method } => {
            json!({ "what": "part", "scope": scope, "category": category, "method": method.name() })
        }
        What::Leaf { node, name } => json!({ "what": "node", "node": **node, "name": **name }),
        What::Subject { kind, name } => {
            json!({ "what": "subject", "kind": kind, "subject": **name })
        }
        What::Use(story) => json!({
            "what": "use",
            "factor": *story.factor,
            "revision": story.revision,
            "unit": story.unit.symbol(),
            "amount": amount(&story.amount, story.unit),
        }),
        What::Line(story) => line(story),
        What::Unexplained => json!({ "what": "unexplained" }),
    };
    told["sum"] = sum(&of.sum);
    told["children"] = of.children.iter().map(branch).collect();
    let rest = of.rest.as_ref();
    told["rest"] =
        rest.map_or(Value::Null, |(count, of)| json!({ "count": count, "sum": sum(of) }));
    told
}

fn line(story: &LineStory) -> Value {
    let LineStory { rate, amount, problem } = story;
    let RateStory { line, unit, gwp, calc_id, co2e_rate, versions, weighed } = rate;
    json!({
        "what": "line",
        "gas": line.gas.name(),
        "scope": line.scope,
        "category": line.category,
        "method": line.method.name(),
        "revision": line.revision,
        "unit": unit.symbol(),
        "amount": exact(*amount, AMOUNT_SCALE),
        "rate_kg_per_unit": exact(line.rate.into(), RATE_SCALE),
        "co2e_rate_kg_per_unit": co2e_rate.map(|rate| exact(rate, RATE_SCALE)),
        "gwp": { "set": gwp.name(), "value": rate.gwp_value() },
        "calc_id": calc_id,
        "versions": versions.iter().map(|of| version(of, weighed.is_some())).collect::<Vec<_>>(),
        "weighed": weighed.as_ref().map(mean),
        "problem": problem,
    })
}

fn mean(weighed: &Weighed) -> Value {
    let shares = weighed.shares.iter().map(|share| {
        let [rate, co2e] = [share.rate, share.co2e_rate].map(|rate| exact(rate, RATE_SCALE));
        json!({ "days": share.days, "rate_kg_per_unit": rate, "co2e_rate_kg_per_unit": co2e })
    });
    json!({
        "days": weighed.days(),
        "shares": shares.collect::<Vec<_>>(),
        "sums": weighed.sums().map(|sum| exact(sum, RATE_SCALE)),
        "means": weighed.means().map(|mean| exact(mean, RATE_SCALE)),
    })
}

fn version(of: &Version, is_weighed: bool) -> Value {
    let superseded = of.superseded.map(|(revision, ms)| json!({ "by": revision, "at": shown(ms) }));
    let mut told = json!({
        "kg_per_unit": of.kg_per_unit.to_string(),
        "unit": of.unit.symbol(),
        "ratio": format!("{}/{}", of.ratio.0, of.ratio.1),
        "prices": of.prices.iter().map(price).collect::<Vec<_>>(),
        "source": of.source,
        "superseded": superseded,
        "share": is_weighed.then_some(of.share),
    });
    held(&mut told, of.validity, of.life);
    told
}

fn price(step: &Step) -> Value {
    let mut told = json!({
        "price": step.name,
        "revision": step.row.revision,
        "unit": step.row.unit.symbol(),
        "to": step.row.to.symbol(),
        "rate": step.row.rate.to_string(),
        "per": step.row.per.to_string(),
        "source": step.source,
    });
    held(&mut told, step.row.validity, step.life);
    told
}

/// When a row holds, and when that was known.
fn held(told: &mut Value, validity: Validity, life: Life) {
    told["valid_from"] = shown(validity.from_ms).into();
    told["valid_to"] = shown(validity.to_ms).into();
    told["learned_at"] = shown(life.learned_ms).into();
    told["withdrawn_at"] = life.withdrawn_ms.map(shown).into();
}

fn amount(story: &AmountStory, unit: Unit) -> Value {
    let part = |part: &Part| match part {
        Part::Meter(part) => meter(part),
        Part::Activity(part) => activity(part),
        Part::Covered(part) => covered(part),
    };
    json!({
        "amount": exact(story.amount, AMOUNT_SCALE),
        "unit": unit.symbol(),
        "covered_ms": story.covered_ms,
        "periods": story.periods,
        "unexplained": exact(story.unexplained, AMOUNT_SCALE),
        "parts": story.parts.iter().map(part).collect::<Vec<_>>(),
    })
}

fn covered(part: &CoveredPart) -> Value {
    let row = &part.row;
    let mut told = json!({
        "supply": row.supply.name(),
        "matching": row.matching.name(),
        "priority": row.priority,
        "counts": row.counts(),
        "revision": row.revision,
    });
    held(&mut told, row.validity, part.life);
    json!({
        "kind": "contract",
        "amount": exact(part.amount, AMOUNT_SCALE),
        "load": exact(part.load, AMOUNT_SCALE),
        "row": told,
        "certificates": part.certificates.0,
        "certificates_wh": part.certificates.1,
    })
}

fn meter(part: &MeterPart) -> Value {
    let MeterRow { kind, unit, multiplier, validity, revision, .. } = &part.row;
    let mut row = json!({
        "kind": kind.name(),
        "unit": unit.map(Unit::symbol),
        "multiplier": multiplier.to_string(),
        "revision": revision,
    });
    held(&mut row, *validity, part.life);
    json!({
        "kind": "meter",
        "amount": exact(part.amount, AMOUNT_SCALE),
        "row": row,
        "stretches": part.spans,
        "split": part.split,
        "readings": readings(&part.readings),
    })
}

fn readings(of: &Readings) -> Value {
    let end = |(ms, value): &(i64, String)| json!({ "at": shown(*ms), "value": value });
    let sources = of.sources.iter().map(|(source, (count, from, to))| {
        json!({ "source": source, "count": count, "from": from, "to": to })
    });
    json!({
        "count": of.count,
        "first": end(&of.first),
        "last": end(&of.last),
        "hash": of.hash,
        "sources": sources.collect::<Vec<_>>(),
    })
}

fn activity(part: &ActivityPart) -> Value {
    let record = &part.record;
    json!({
        "kind": "activity",
        "amount": exact(part.amount, AMOUNT_SCALE),
        "row": {
            "value": record.value.map(|value| value.to_string()),
            "unit": record.unit.symbol(),
            "from": shown(record.from_ms),
            "to": shown(record.to_ms),
            "version": record.version,
            "quality": record.quality.name(),
            "learned_at": shown(part.learned_ms),
            "source": part.source,
            "position": record.arrival.position,
        },
    })
}
