//! What is allotted, piece by piece: of an hour, or of what is over of a year.

use std::collections::BTreeMap;

use super::allot::{Loads, Offer};
use super::book::Changes;
use super::{Allotted, Claim, Part};
use crate::model::{ActivityKey, Id, Measure, Period, Reason, Subject, Unit};

/// The piece of a load that is a contract's, or nobody's.
pub(super) fn key(
    (period, node): (Period, Id),
    subject: Subject,
    (factor, unit): (Id, Unit),
) -> ActivityKey {
    ActivityKey { period, node, subject, unit, factor }
}

/// What an offer gives to loads under `covered`: each is taken off there, and told under the contract's factor.
pub(super) fn given(
    (offer, claim): (&Offer, Claim),
    (covered, unit): (Id, Unit),
    loads: &Loads,
) -> impl Iterator<Item = (Allotted, i128)> {
    let subject = Subject::Contract(offer.contract);
    loads.iter().flat_map(move |(load, amount)| {
        let taken = (Part::Taken(claim), key(*load, subject, (covered, unit)));
        let told = (Part::Given(claim), key(*load, subject, (offer.factor, unit)));
        [(taken, -amount), (told, *amount)]
    })
}

/// An amount that rests on one allotment.
pub(super) fn measure(amount: i128) -> Measure {
    Measure { amount: amount.into(), covered_ms: 0, presence: 1 }
}

/// Hands out by what `new` differs from `old`.
pub(super) fn hand_out<M: PartialEq>(
    (old, new): (&BTreeMap<Allotted, M>, &BTreeMap<Allotted, M>),
    measure: impl Fn(&M) -> Measure,
    why: Reason,
    changes: &mut Changes,
) {
    let gone = old.iter().filter(|(piece, sum)| new.get(piece) != Some(sum));
    let gone = gone.map(|(piece, sum)| (piece, measure(sum).negated()));
    let come = new.iter().filter(|(piece, sum)| old.get(piece) != Some(sum));
    let come = come.map(|(piece, sum)| (piece, measure(sum)));
    changes.extend(gone.chain(come).map(|((part, key), sum)| ((*part, *key, why), sum)));
}
