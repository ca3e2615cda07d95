//! What `/metrics` says: the program's own counters, and live balances of the business.
//!
//! ```text
//! window changes ──► Live::apply ──► exact balances ──► Live::publish ──► Published (immutable)
//! shares of meters ─► Live::report       (i128)       once a tick, changed series only    │
//! counters, gauges ──► Metrics ──────────────────────────────────────────────────────────┴─► render
//! ```
//!
//! 1. **Balances are exact integers** and are printed as decimals: no float is summed, here neither.
//! 2. **A scrape is one tick**: it renders what was published last, never a half-applied batch. Without
//!    this, a company would not be the sum of its sites.
//! 3. **A key without data disappears.** It is never 0, which would be a statement.
//! 4. **What does not fit `max_series` is dropped by whole levels** of the tree, deepest first: what is
//!    shown is complete. Without the limit, a large tree would take Prometheus down.
//! 5. **Withheld** (`None`) while the program replays: old balances would look like new ones.

mod catalogue;
mod config;
mod family;
mod live;
mod metrics;
mod text;

pub use catalogue::{CATALOGUE, Definition, Kind};
pub use config::LiveConfig;
pub use live::{Live, Published};
pub use metrics::Metrics;

/// The text of `/metrics`, format 0.0.4; the business series only if they are published.
#[must_use]
pub fn render(metrics: &Metrics, published: Option<&Published>) -> String {
    let mut text = String::new();
    if let Some(published) = published {
        metrics.count_overflow(published.dropped());
    }
    metrics.write(&mut text);
    if let Some(published) = published {
        published.write(&mut text);
    }
    text
}
