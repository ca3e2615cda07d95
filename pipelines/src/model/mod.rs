//! Plain values: what the dataflow, the connectors and the sinks talk about.

pub mod blend;
pub mod calendar;
pub mod contract;
pub mod decimal;
pub mod entry;
pub mod fact;
pub mod factor;
pub mod gas;
pub mod names;
pub mod node_key;
pub mod pending;
pub mod policy;
pub mod price;
pub mod quantity;
pub mod recipe;
pub mod record;
pub mod retain;
pub mod sources;
pub mod time;
pub mod unit;

pub use calendar::{Calendar, ToDate};
pub use contract::{CertificateRow, ContractRow, Criterion, Matching, Supply};
pub use decimal::{Decimal, DecimalError};
pub use entry::{
    ActivityDataEntry, ActivityEntry, ActivityKey, EmissionEntry, EmissionKey, FootprintEntry,
    FootprintKey, Line, ReadingEntry, Reason, Received, RejectEntry, RejectEvent, WindowEntry,
    WindowKey,
};
pub use fact::{
    Fact, FactorRow, MeterKind, MeterRow, Method, NodeRow, PriceRow, SeriesRow, StampSide, Validity,
};
pub use factor::{FactorChange, FactorStatus, SeriesKind, Total, Vintage};
pub use gas::{Gas, GwpSet};
pub use names::{Id, Names};
pub use node_key::NodeKey;
pub use pending::{PendingCause, PendingEntry, RestatedEntry};
pub use policy::Policy;
pub use price::Basis;
pub use quantity::{Emission, Measure, Rate, Wide};
pub use record::{ActivityRecord, Arrival, Outcome, Quality, Reading, Record, Subject};
pub use retain::Retain;
pub use sources::Sources;
pub use time::{Cause, Period, Tick};
pub use unit::{Dimension, Unit, UnitError};
