//! Names of sources as small numbers: those of the pipeline file first, then those it no longer has, then those that
//! are added while it runs. Shared by every thread; grows only.

use std::sync::{Arc, PoisonError, RwLock};

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<RwLock<Arc<[Arc<str>]>>>);

impl Sources {
    /// These, numbered from 0.
    pub fn new<N: Into<Arc<str>>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(Arc::new(RwLock::new(names.into_iter().map(Into::into).collect())))
    }

    /// All of them, by number.
    #[must_use]
    pub fn all(&self) -> Arc<[Arc<str>]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of `name`: the next one, if it is new.
    ///
    /// # Panics
    /// At the 2^16th.
    #[must_use]
    pub fn number(&self, name: &str) -> u16 {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let index = all.iter().position(|known| **known == *name).unwrap_or_else(|| {
            *all = all.iter().cloned().chain([Arc::from(name)]).collect();
            all.len() - 1
        });
        u16::try_from(index).expect("fewer than 2^16 sources")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_one_gets_the_next_number_for_everybody() {
        let sources = Sources::new(["plant", "erp"]);
        let shared = sources.clone();
        assert_eq!(["erp", "old", "plant", "old"].map(|name| sources.number(name)), [1, 2, 0, 2]);
        assert_eq!(
            shared.all().iter().map(|name| &**name).collect::<Vec<_>>(),
            ["plant", "erp", "old"]
        );
    }
}
