//! Where a source is read on after a restart, in words of its own.

/// How far one stream of a source was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Which stream: a partition and its topic; the file.
    pub stream: String,
    /// Where it is read on, as the source writes it.
    pub at: String,
}
