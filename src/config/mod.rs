//! The pipeline file: read, checked as a whole, made into a [`Pipeline`].
//!
//! ```text
//! text ── raw ──────────► sections ── resolve ──────────► Pipeline
//!          catalogue: the table of keys relations of keys, secrets, paths, URLs
//!              └─► reference.md, example.toml
//! ```
//!
//! Only [`Pipeline`] leaves this module. Two stages, because a file with five mistakes should be mended
//! once: `raw` reports what is wrong with single values and `resolve` what is wrong between them, both into
//! one list; a key that is bad by itself silences what depends on it.

mod calendar;
mod catalogue;
mod human;
mod keys;
mod live;
mod manual;
mod problem;
mod raw;
mod resolve;
mod resolved;
mod secret;
mod sinks;
mod sources;
mod value;

pub use human::{HumanError, format_duration, format_size, parse_duration, parse_size};
pub use keys::nearest;
pub use live::{Change, LINES, Line, change};
pub use manual::{example, reference};
pub use problem::{Problem, Problems, SHOWN_PER_FILE, Severity};
pub use resolve::{load, parse};
pub use resolved::{DeltaSink, Pipeline, PrometheusSink, SourceEntry, Tables};
pub use secret::{SECRET_BYTES_MAX, SecretError};
