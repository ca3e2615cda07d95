//! Names as small numbers. Ids are handed out in order of first sight, so no result may depend on their
//! order: entries are sorted by name where order shows.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

/// A name: of a meter, an activity, a node, a factor, a source or a text. `Id::NONE` is no name.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Id(pub u32);

impl Id {
    /// No name: a meter without a factor, a node without a parent.
    pub const NONE: Self = Self(0);

    /// Whether it names nothing.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// All names in use, shared by every thread. Grows only; bounded by what facts and `max_parked` admit.
#[derive(Debug)]
pub struct Names(RwLock<Inner>);

#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "looked up by name only, never iterated")]
struct Inner {
    ids: std::collections::HashMap<Arc<str>, Id>,
    names: Vec<Arc<str>>,
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

impl Names {
    /// No names yet, but that of `Id::NONE`, which is empty.
    #[must_use]
    pub fn new() -> Self {
        let none: Arc<str> = Arc::from("");
        Self(RwLock::new(Inner {
            ids: [(Arc::clone(&none), Id::NONE)].into_iter().collect(),
            names: vec![none],
        }))
    }

    /// The id of `name`, a new one at first sight.
    ///
    /// # Panics
    /// At the 2^32nd name.
    pub fn intern(&self, name: &str) -> Id {
        if let Some(id) = self.find(name) {
            return id;
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = inner.ids.get(name) {
            return id;
        }
        let id = Id(u32::try_from(inner.names.len()).expect("fewer than 2^32 names"));
        let name: Arc<str> = Arc::from(name);
        inner.names.push(Arc::clone(&name));
        inner.ids.insert(name, id);
        id
    }

    /// The id of `name`, if it was seen before.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Id> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.ids.get(name).copied()
    }

    /// The name behind `id`.
    ///
    /// # Panics
    /// If `id` was not handed out by this table.
    #[must_use]
    pub fn name(&self, id: Id) -> Arc<str> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(id.0).expect("an id fits a usize");
        Arc::clone(inner.names.get(index).expect("the id was handed out by this table"))
    }

    /// A copy of all names, indexed by id, for bulk look-ups without the lock.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).names.clone()
    }
}
