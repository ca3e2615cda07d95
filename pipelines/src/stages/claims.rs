//! Which of several claims about one key holds: duplicates, corrections, withdrawals.
//!
//! 1. The highest version wins. A lower one says less than is known: a duplicate. A higher one is news even where
//!    its value is the same.
//! 2. Within a version (none counts as 0) the last *new* value wins.
//! 3. A value that was accepted before, in the same version, is a duplicate, also after a correction or a
//!    withdrawal: a broker that redelivers an old message must not undo what came after it.
//! 4. A withdrawal without a version takes back the value that holds, whatever its version.
//!
//! So what holds depends on the order of the claims of one key alone, never on other keys or batching.

/// The claims about one key, and the one that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims<V> {
    version: u32,
    current: Option<V>,
    accepted: Vec<(u32, V)>,
}

/// What became of a claim.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds now.
    Accepted,
    /// It said what was known, or less.
    Duplicate,
}

impl<V: Clone + Eq> Claims<V> {
    /// The first claim about a key: it holds, a withdrawal too (what it takes back may come after it).
    #[must_use]
    pub fn first(version: u32, value: Option<V>) -> Self {
        let accepted = value.iter().map(|value| (version, value.clone())).collect();
        Self { version, current: value, accepted }
    }

    /// The value that holds; `None` when it is withdrawn.
    #[must_use]
    pub fn current(&self) -> Option<&V> {
        self.current.as_ref()
    }

    /// Whether there has been one claim alone, without a version.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.version == 0 && self.accepted.len() == 1 && self.current.is_some()
    }

    /// Claims that, offered in turn, lead to the same state again: `(version, value)`.
    #[must_use]
    pub fn offers(&self) -> Vec<(u32, Option<&V>)> {
        let mut offers: Vec<(u32, Option<&V>)> = Vec::with_capacity(self.accepted.len() + 1);
        for (version, value) in &self.accepted {
            // Accepted a second time, it had been withdrawn in between.
            if let Some((before, _)) = offers.last().filter(|(_, said)| *said == Some(value)) {
                offers.push((*before, None));
            }
            offers.push((*version, Some(value)));
        }
        // The last accepted value was withdrawn, or said again under a higher version.
        let last = (self.version, self.current.as_ref());
        if offers.last() != Some(&last) {
            offers.push(last);
        }
        offers
    }

    /// Takes in another claim; `None` withdraws.
    pub fn offer(&mut self, version: u32, value: Option<V>) -> Verdict {
        let version = if value.is_none() && version == 0 { self.version } else { version };
        if version < self.version {
            return Verdict::Duplicate;
        }
        let said_before = |v: &V| self.accepted.iter().any(|a| a.0 == version && a.1 == *v);
        let is_known = value == self.current || value.as_ref().is_some_and(said_before);
        if version == self.version && is_known {
            return Verdict::Duplicate;
        }
        self.version = version;
        self.accepted.extend(value.iter().map(|value| (version, value.clone())));
        self.current = value;
        Verdict::Accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers a list of claims in turn; says what holds and how many were accepted.
    fn after(claims: &[(u32, Option<i32>)]) -> (Option<i32>, usize) {
        let mut all = Claims::first(claims[0].0, claims[0].1);
        let accepted =
            claims[1..].iter().filter(|c| all.offer(c.0, c.1) == Verdict::Accepted).count();
        (all.current().copied(), 1 + accepted)
    }

    proptest::proptest! {
        #[test]
        fn offering_it_again_leads_to_the_same_state(
            claims in proptest::collection::vec((0..3_u32, proptest::option::of(0..3_i32)), 1..9)
        ) {
            let mut all = Claims::first(claims[0].0, claims[0].1);
            for (version, value) in &claims[1..] {
                all.offer(*version, *value);
            }
            let offers = all.offers().into_iter().map(|(v, value)| (v, value.copied()));
            let offers: Vec<_> = offers.collect();
            let mut again = Claims::first(offers[0].0, offers[0].1);
            for (version, value) in &offers[1..] {
                again.offer(*version, *value);
            }
            proptest::prop_assert_eq!(all, again);
        }
    }

    #[test]
    fn the_last_new_value_wins() {
        assert_eq!(after(&[(0, Some(1)), (0, Some(1))]), (Some(1), 1));
        assert_eq!(after(&[(0, Some(1)), (0, Some(2))]), (Some(2), 2));
        assert_eq!(after(&[(0, Some(1)), (0, Some(2)), (0, Some(1))]), (Some(2), 2));
    }

    #[test]
    fn the_highest_version_wins() {
        assert_eq!(after(&[(2, Some(1)), (1, Some(2))]), (Some(1), 1));
        assert_eq!(after(&[(1, Some(1)), (2, Some(2)), (3, Some(1))]), (Some(1), 3));
        assert_eq!(after(&[(1, Some(1)), (2, Some(1)), (1, Some(3))]), (Some(1), 2));
        assert_eq!(after(&[(0, Some(1)), (2, Some(1)), (2, Some(2)), (2, Some(1))]), (Some(2), 3));
    }

    #[test]
    fn a_withdrawal_is_not_undone_by_a_redelivery() {
        assert_eq!(after(&[(0, Some(1)), (0, None), (0, Some(1))]), (None, 2));
        assert_eq!(after(&[(0, Some(1)), (0, None), (0, None)]), (None, 2));
        assert_eq!(after(&[(0, Some(1)), (0, None), (0, Some(2))]), (Some(2), 3));
        assert_eq!(after(&[(3, Some(1)), (0, None), (3, Some(1))]), (None, 2));
        assert_eq!(after(&[(0, None), (0, Some(1))]), (Some(1), 2));
    }
}
