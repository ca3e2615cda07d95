//! `plumeline report diff`: the restatement list of a lock.

use std::fmt::Write;

use plumeline_pipelines::model::Method;
use serde_json::{Value, json};

use super::Review;
use super::changes::{Affected, Change};
use super::document::instant;
use super::figures::{kilograms, percent, signed_tonnes};
use super::lines::{View, total};
use super::show::{about, head, verdict};

/// Names of a line that are told to people.
const NAMES: usize = 3;

impl Review {
    /// The list, for people.
    #[must_use]
    pub fn list(&self) -> String {
        let mut text = head(self);
        if !self.changes.is_empty() {
            // Writing to a `String` cannot fail.
            writeln!(
                text,
                "{:<24} {:<10} {:<18} {:<16} {:>14} {:>14} {:>10} {:>9}  what",
                "recorded at",
                "class",
                "reason",
                "scope",
                "change, t",
                "together, t",
                "%",
                "entries"
            )
            .unwrap_or_default();
        }
        for change in &self.changes {
            text += &self.line(change);
        }
        text.truncate(text.trim_end().len());
        text + "\n" + &verdict(self)
    }

    fn line(&self, change: &Change) -> String {
        let Change { scope, category, method, reason, class, entries, .. } = change;
        let mut of = scope.to_string();
        if *category > 0 {
            of = format!("{of}.{category}");
        }
        if *method != Method::Any {
            of = format!("{of} {}", method.name());
        }
        let (view, together) = together(change);
        // Outside of scopes nothing is CO2e.
        let (sum, together, percent) = if *scope == 0 {
            (change.sum().mass, "-".to_owned(), "-".to_owned())
        } else {
            let percent = percent(together, total(&self.lock.totals, view));
            let percent = percent.unwrap_or_else(|| "new".to_owned());
            (change.sum().co2e, signed_tonnes(together), percent)
        };
        format!(
            "{:<24} {:<10} {reason:<18} {of:<16} {:>14} {together:>14} {percent:>10} {entries:>9}  {}\n",
            instant(change.recorded_ms),
            class.name(),
            signed_tonnes(sum),
            what(change)
        )
    }

    /// The list, for programs.
    #[must_use]
    pub fn list_json(&self) -> Value {
        let [location, market] = View::ALL.map(|view| total(&self.lock.totals, view));
        let told = |change: &Change| {
            let gas = |(gas, sum): (&plumeline_pipelines::model::Gas, &super::figures::Sum)| {
                json!({
                    "gas": gas.name(),
                    "mass_kg": gas.has_mass().then(|| kilograms(sum.mass)),
                    "co2e_kg": kilograms(sum.co2e),
                })
            };
            json!({
                "recorded_at": instant(change.recorded_ms),
                "class": change.class.name(),
                "reason": change.reason,
                "scope": change.scope,
                "category": change.category,
                "method": change.method.name(),
                "co2e_kg": kilograms(change.sum().co2e),
                "gases": change.gases.iter().map(gas).collect::<Value>(),
                "entries": change.entries,
                "nodes": affected(&change.nodes),
                "subjects": affected(&change.subjects),
                "cumulative_location_kg": kilograms(change.cumulative_location),
                "cumulative_location_percent": percent(change.cumulative_location, location),
                "cumulative_market_kg": kilograms(change.cumulative_market),
                "cumulative_market_percent": percent(change.cumulative_market, market),
                "counts_for_base_year": change.class.moves_base_year(&change.reason),
            })
        };
        json!({
            "lock": about(&self.lock),
            "now": instant(self.committed_ms),
            "changes": self.changes.iter().map(told).collect::<Value>(),
        })
    }
}

/// The running sum of the total that a change is part of; of both, the location-based one.
fn together(change: &Change) -> (View, i128) {
    match change.method {
        Method::Market => (View::Market, change.cumulative_market),
        Method::Any | Method::Location => (View::Location, change.cumulative_location),
    }
}

/// Where, and of what.
fn what(change: &Change) -> String {
    let named = |what: &str, affected: &Affected| {
        if affected.most.is_empty() {
            return None;
        }
        let names: Vec<&str> =
            affected.most.iter().take(NAMES).map(|(name, _)| name.as_str()).collect();
        let more = match affected.count {
            Some(count) if count <= names.len() => String::new(),
            Some(count) => format!(" and {} more", count - names.len()),
            None => " and many more".to_owned(),
        };
        Some(format!("{what} {}{more}", names.join(", ")))
    };
    let told = [named("at", &change.nodes), named("of", &change.subjects)];
    told.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn affected(affected: &Affected) -> Value {
    let told = |(name, sum): &(String, Option<i128>)| json!({ "name": name, "co2e_kg": sum.map(kilograms) });
    json!({
        "count": affected.count,
        "most": affected.most.iter().map(told).collect::<Value>(),
    })
}
