//! What a tick says of one meter, before it is put down.
//!
//! A claim that is taken in changes the value of its instant, and many of a tick may meet there: only what they come to
//! is walked. Beside it stands what `why` asks: which instants said something else before, and which only repeat
//! what is known. *Else a value that is told again would be a cause.*

use std::collections::BTreeSet;

use super::spans::Value;
use crate::stages::claims::Claims;

/// A change to the value of an instant, not yet put down.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) at_ms: i64,
    pub(super) old: Option<Value>,
    pub(super) claims: Claims<Value>,
}

/// The changes of one meter at one tick, in the order of their instants.
#[derive(Debug, Default)]
pub struct Changes {
    pub(super) all: Vec<Change>,
    /// Instants, ms, of which something else was said before the tick.
    pub(super) corrected: BTreeSet<i64>,
    /// Instants, ms, of which nothing new was said.
    pub(super) repeated: BTreeSet<i64>,
}

impl Changes {
    /// Forgets the instants of the meter before.
    pub(super) fn begin(&mut self) {
        self.corrected.clear();
        self.repeated.clear();
    }
}
