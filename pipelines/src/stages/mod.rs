//! The dataflow, one stage a file.

pub mod activities;
pub(crate) mod causes;
pub mod claims;
pub mod delay_until;
pub mod horizon;
pub mod matching;
pub mod metering;
pub mod notice;
pub mod open;
pub mod rates;
pub mod recall;
pub mod roll_up;
pub mod to_date;
