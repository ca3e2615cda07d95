//! The windows that go by the calendar: month, quarter and year to date.
//!
//! At a tick, such a window holds the closed periods of the month, quarter or year that is under way. Most of a year
//! lies below the horizon, where the dataflow remembers nothing; the sum has to stay all the same:
//!
//! ```text
//!   start of the year          horizon                 tick      start of the next year
//!        ├──────────────────────────┼──────────────────────┤╌╌╌╌╌╌╌╌╌╌╌╌╌╌┤
//!        │     opening balance      │   periods retained   │              └─ all of it leaves
//!        └─ entered as it closed; fed anew at a restart, from the ledger; changed by restatements
//! ```
//!
//! In SQL: `SELECT window, node, depth, scope, method, gas, sum(emission) FROM node_emissions WHERE
//! period_start >= window_start AND period_end <= tick GROUP BY ALL`.
//!
//! 1. A period enters as it closes, and leaves as the next month, quarter or year begins: both are known from the
//!    start ([`delay_until`]). *So a window begins at nothing by itself, in the pipeline's own civil time.*
//! 2. What the horizon passes stays in. What is taken back of it to free memory is dropped, as everywhere.
//! 3. But as the horizon passes a period, its presence goes: how many readings it rests on is not in the ledger's
//!    tables, and a restart could not tell. *A key whose opening balance is 0 g and that nothing else is behind
//!    disappears then, restarted or not.*
//! 4. **The opening balance** is an input: at a restart, what the ledger holds below the horizon; later, what a
//!    restatement books there, at the tick of its cut. It leaves like what it is about.
//!
//! State: one entry a (month, quarter or year that some retained period is of, window key), which is the opening
//! balance while it runs, and one a (day inside `retain`, window key).
//!
//! Rejected: keeping the opening balance in the journal each time the horizon moves. The ledger has it exactly, with
//! what was restated since, and it would be one more thing to prove equal to it.

use std::sync::Arc;

use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};

use super::delay_until::delay_until;
use crate::model::{
    Calendar, Cause, Emission, FootprintKey, Gas, Id, Method, NodeKey, Policy, Tick, ToDate, Wide,
    WindowKey,
};

type Collection<'scope, D, R> = VecCollection<'scope, Tick, D, R>;

/// What an opening balance is told apart by.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpeningKey {
    /// The start of the civil month, ms: quarters and years are made of months.
    pub month_ms: i64,
    /// The node, at any level.
    pub node: Id,
    /// Its level: 0 for a root.
    pub depth: u8,
    /// See [`crate::model::Line::scope`].
    pub scope: u8,
    /// See [`crate::model::Line::method`].
    pub method: Method,
    /// See [`crate::model::Line::gas`].
    pub gas: Gas,
}

impl OpeningKey {
    /// That of an entry of `footprints`; `None` outside of the calendar, where no window is.
    #[must_use]
    pub fn of(key: &FootprintKey, calendar: &Calendar) -> Option<Self> {
        let FootprintKey { start_ms, node, depth, scope, method, gas, .. } = *key;
        let (month_ms, _) = calendar.around(ToDate::Month, start_ms)?;
        Some(Self { month_ms, node, depth, scope, method, gas })
    }
}

/// What the ledger's tables tell of an emission: not what it rests on.
#[must_use]
pub fn booked(emission: &Emission) -> Emission {
    Emission { presence: 0, ..*emission }
}

/// The windows that hold what begins at `start_ms`, and when it leaves them: `(window, leaves ms)`.
///
/// # Panics
/// If a pipeline has more than 255 windows.
pub fn stays_to_date(policy: &Policy, start_ms: i64) -> impl Iterator<Item = (u8, i64)> {
    let first = 1 + policy.windows_ms.len();
    let windows = policy.calendar.windows().iter().zip(first..);
    windows.filter_map(move |(window, number)| {
        let (_, leaves_ms) = policy.calendar.around(*window, start_ms)?;
        Some((u8::try_from(number).expect("windows are few"), leaves_ms))
    })
}

/// The windows of a pipeline's calendar; `by_gas` tells them by gas. See the module's documentation.
#[must_use]
pub fn to_date<'scope>(
    node_emissions: Collection<'scope, NodeKey, Emission>,
    opening: Collection<'scope, OpeningKey, Emission>,
    policy: &Arc<Policy>,
    by_gas: bool,
) -> Collection<'scope, WindowKey, Emission> {
    let shown = move |gas: Gas| gas.shown(by_gas);
    let at = |ms| Tick::new(ms, Cause::Time);
    let retained = Arc::clone(policy);
    let retained =
        delay_until(node_emissions, "to date", move |key: &NodeKey, tick, emission, give| {
            let policy = &retained;
            if key.period < policy.horizon(tick) {
                return;
            }
            let NodeKey { period, node, depth, scope, method, gas, .. } = *key;
            let (closes, passed) =
                (at(period.end_ms(policy.period_ms)), at(policy.passed_ms(period)));
            let presence = Emission { mass: Wide::ZERO, co2e: Wide::ZERO, ..emission.negated() };
            for (window, leaves_ms) in stays_to_date(policy, period.start_ms(policy.period_ms)) {
                let (enters, leaves) = (closes.max(tick), at(leaves_ms));
                if enters >= leaves {
                    continue;
                }
                let key = WindowKey { window, node, depth, scope, method, gas: shown(gas) };
                give(key, enters, *emission);
                if passed < leaves {
                    give(key, passed, presence);
                    give(key, leaves, booked(emission).negated());
                } else {
                    give(key, leaves, emission.negated());
                }
            }
        });
    let policy = Arc::clone(policy);
    let opening =
        delay_until(opening, "opening balance", move |key: &OpeningKey, tick, emission, give| {
            let OpeningKey { month_ms, node, depth, scope, method, gas } = *key;
            for (window, leaves_ms) in stays_to_date(&policy, month_ms) {
                let leaves = at(leaves_ms);
                if tick < leaves {
                    let key = WindowKey { window, node, depth, scope, method, gas: shown(gas) };
                    give(key, tick, booked(emission));
                    give(key, leaves, booked(emission).negated());
                }
            }
        });
    retained.concat(opening)
}
