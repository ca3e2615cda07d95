//! The lines of a report: scopes and totals, as they were locked and as they are.
//!
//! Scope 2 is told twice, by where it was used and by what was bought, and so are totals. Another scope is told twice only
//! where its factors do so, too. Outside of scopes is no part of any total, and told in mass: biogenic CO2 has no CO2e.

use std::collections::BTreeSet;

use plumeline_pipelines::model::Method;

use super::figures::{Key, Threshold, Totals};

/// Which of scope 2's two answers is asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// What the grid emitted.
    Location,
    /// What contracts say.
    Market,
}

impl View {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Location, Self::Market];

    /// Whether a method is part of it.
    #[must_use]
    pub fn holds(self, method: Method) -> bool {
        match self {
            Self::Location => method != Method::Market,
            Self::Market => method != Method::Location,
        }
    }

    /// `location-based`, `market-based`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Location => "location-based",
            Self::Market => "market-based",
        }
    }
}

/// The CO2e of all scopes, 1e-21 kg.
#[must_use]
pub fn total(totals: &Totals, view: View) -> i128 {
    totals.sum(|key| key.scope != 0 && view.holds(key.method)).co2e
}

/// A line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `Scope 2, location-based`.
    pub name: String,
    /// Whether the threshold is asked of it: of scopes and totals.
    pub is_measured: bool,
    /// As it was, 1e-21 kg.
    pub then: i128,
    /// As it is, 1e-21 kg.
    pub now: i128,
}

impl Line {
    /// What was added since.
    #[must_use]
    pub fn change(&self) -> i128 {
        self.now.saturating_sub(self.then)
    }

    /// Whether that is significant.
    #[must_use]
    pub fn reaches(&self, threshold: Threshold) -> bool {
        self.is_measured && threshold.is_reached(self.change(), self.then)
    }
}

/// The lines of two reports, beside each other.
#[must_use]
pub fn lines(then: &Totals, now: &Totals) -> Vec<Line> {
    let both = (then, now);
    let mut lines = told("Scope 1", both, true, |key| key.scope == 1);
    for view in View::ALL {
        let name = format!("Scope 2, {}", view.name());
        lines.push(line(name, both, true, |key| key.scope == 2 && view.holds(key.method)));
    }
    let keys = then.0.keys().chain(now.0.keys());
    let categories: BTreeSet<u8> =
        keys.filter(|key| key.scope == 3).map(|key| key.category).collect();
    for category in categories {
        let name = match category {
            0 => "Scope 3, no category".to_owned(),
            number => format!("Scope 3, category {number}"),
        };
        lines.extend(told(&name, both, false, |key| key.scope == 3 && key.category == category));
    }
    lines.extend(told("Scope 3", both, true, |key| key.scope == 3));
    for view in View::ALL {
        let name = format!("Total, {}", view.name());
        lines.push(line(name, both, true, |key| key.scope != 0 && view.holds(key.method)));
    }
    let outside = |totals: &Totals| totals.sum(|key| key.scope == 0).mass;
    lines.push(Line {
        name: "Outside of scopes, t CO2".to_owned(),
        is_measured: false,
        then: outside(then),
        now: outside(now),
    });
    lines
}

fn line(
    name: String,
    (then, now): (&Totals, &Totals),
    is_measured: bool,
    is_of: impl Fn(&Key) -> bool,
) -> Line {
    Line { name, is_measured, then: then.sum(&is_of).co2e, now: now.sum(&is_of).co2e }
}

/// One line, or two where the two answers differ.
fn told(
    name: &str,
    both: (&Totals, &Totals),
    is_measured: bool,
    is_of: impl Fn(&Key) -> bool,
) -> Vec<Line> {
    let of = |view: View| {
        let name = format!("{name}, {}", view.name());
        line(name, both, is_measured, |key| is_of(key) && view.holds(key.method))
    };
    let [location, market] = View::ALL.map(of);
    if (location.then, location.now) == (market.then, market.now) {
        return vec![Line { name: name.to_owned(), ..location }];
    }
    vec![location, market]
}

#[cfg(test)]
mod tests {
    use plumeline_pipelines::model::Gas;

    use super::*;
    use crate::report::figures::Sum;

    fn totals(rows: &[(u8, u8, Method, i128)]) -> Totals {
        let mut totals = Totals::default();
        for &(scope, category, method, co2e) in rows {
            let key = Key { scope, category, method, gas: Gas::Co2 };
            let co2e_of = if scope == 0 { 0 } else { co2e };
            totals.add(key, Sum { mass: co2e, co2e: co2e_of });
        }
        totals
    }

    #[test]
    fn scopes_and_totals_stand_beside_what_they_were() {
        let then = totals(&[
            (0, 0, Method::Any, 9),
            (1, 0, Method::Any, 100),
            (2, 0, Method::Location, 50),
            (2, 0, Method::Market, 20),
            (2, 0, Method::Any, 1),
            (3, 6, Method::Any, 5),
        ]);
        let mut now = then.clone();
        now.add_all(&totals(&[(3, 3, Method::Location, 7), (2, 0, Method::Market, -1)]));
        let told: Vec<String> = lines(&then, &now)
            .iter()
            .map(|line| format!("{}: {} {}", line.name, line.then, line.now))
            .collect();
        assert_eq!(
            told,
            [
                "Scope 1: 100 100",
                "Scope 2, location-based: 51 51",
                "Scope 2, market-based: 21 20",
                "Scope 3, category 3, location-based: 0 7",
                "Scope 3, category 3, market-based: 0 0",
                "Scope 3, category 6: 5 5",
                "Scope 3, location-based: 5 12",
                "Scope 3, market-based: 5 5",
                "Total, location-based: 156 163",
                "Total, market-based: 126 125",
                "Outside of scopes, t CO2: 9 9",
            ]
        );
        let reached: Vec<String> = lines(&then, &now)
            .into_iter()
            .filter(|line| line.reaches(Threshold::parse("4.5").unwrap()))
            .map(|line| line.name)
            .collect();
        assert_eq!(reached, ["Scope 2, market-based", "Scope 3, location-based"]);
    }
}
