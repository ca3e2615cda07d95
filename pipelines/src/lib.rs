//! The domain of Plumeline, pure: what a quantity is, what a fact is, how readings become footprints.
//!
//! ```text
//! model/      quantities, units, gases, time, names, facts, records, ledger entries: plain values
//! stages/     the dataflow, one stage a file: metering, activities, rates, emissions, roll_up, delay_until, to_date
//! engine      wires the stages; `Engine` feeds one worker and hands out what it derives
//! audit       the same, cut by cut, for long ledgers: what `plumeline verify` compares with
//! hindsight   what the ledger would say had all been known from the beginning
//! kept        what a live dataflow has kept from before the horizon, told again
//! reporting   which share of the meters that are expected was heard of
//! digest      128 bits that stand for all balances
//! lineage     how a line was calculated, in 128 bits, and which readings hold
//! reference   the same answers from plain loops over everything; the oracle of every test
//! ```
//!
//! Nothing here reads a file, a clock, the environment or the network, and no float is ever summed. A
//! test (`tests/tidy.rs` of the workspace) holds that fence.

pub mod audit;
pub mod digest;
pub mod engine;
pub mod hindsight;
pub mod kept;
pub mod lineage;
pub mod model;
pub mod reference;
pub mod reporting;
pub mod stages;
