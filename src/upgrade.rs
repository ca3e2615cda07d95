//! Going on under another method: another GWP set, or a program that means something else by its rules.
//!
//! ```text
//!  ledger and journal, under the old method ─ a pipeline without sources ─▶ all booked up to a last cut K
//!  lake as of K ─ computed anew under the new one ─▶ differences ─▶ journal: cut X takes them along,
//!                                                                   and the new method counts from X on
//!  an ordinary start: state at K, restored under the new method ─▶ X is committed ─▶ live
//! ```
//!
//! 1. What is journaled, pending or due is booked under the old method, by a pipeline that takes nothing in: its last
//!    cut is K. *Part of it may be in some tables already, and what was not restated before would get a wrong
//!    reason.* Where the program itself means something else, only the earlier one can do that: it has to have ended
//!    in order.
//! 2. Everything that has settled is computed anew ([`crate::restate`]), share by share, and what the ledger says
//!    is taken off. What is left is proposed to the journal.
//! 3. The new method, the cut X and what it takes along are put down at once. *Killed before, all of it is done
//!    again; killed after, a start goes on from it.*
//! 4. The start that follows restores the state at K under the new method: its digests are those of K's commit and
//!    of what X takes along, or it ends ([`crate::runtime`]). *That is the proof.*

use std::path::Path;
use std::sync::Arc;

use plumeline_pipelines::model::{GwpSet, Names, Reason, Tick};
use plumeline_sinks::delta::{LakeError, LakeReader, Rows};
use thiserror::Error;

use crate::config::Pipeline;
use crate::journal::{Journal, JournalError, Method, Restating};
use crate::restate::{
    Base, Found, Periods, Request, RestateError, SHARE_ROWS, proposing, recalls, restate,
};
use crate::runtime::Clock;

/// Time between commits of a pipeline that only ends what is under way, ms.
const COMMIT_EVERY_MS: i64 = 1_000;

/// Why a ledger cannot go on under another method.
#[derive(Debug, Error)]
pub enum UpgradeError {
    /// The journal.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// The tables cannot be read.
    #[error("the tables cannot be read")]
    Lake(#[from] LakeError),
    /// What is missing cannot be computed.
    #[error(transparent)]
    Restate(#[from] RestateError),
    /// Something is journaled that is not in the ledger.
    #[error(
        "the journal holds what is not in the ledger yet, and only the program that wrote it can book it: start that one \
         once more, without sources if they must not go on, and end it in order"
    )]
    Unfinished,
}

/// The method of a journal is another than that of this program and its pipeline file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    was: Method,
    is: Method,
}

impl Change {
    /// Whether there is one.
    ///
    /// # Errors
    /// If there is a journal that cannot be read.
    pub fn of(pipeline: &Pipeline) -> Result<Option<Self>, JournalError> {
        let is = Method::of(&pipeline.policy);
        let was = Method::written(&pipeline.state_dir)?;
        Ok(was.filter(|was| *was != is).map(|was| Self { was, is }))
    }

    /// What changes, such as `gwp = "ar5", and it was "ar6"`.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { was, is } = self;
        let mut told = Vec::new();
        if was.gwp != is.gwp {
            told.push(format!("gwp = \"{}\", and it was \"{}\"", is.gwp, was.gwp));
        }
        if was.semantics != is.semantics {
            let (is, was) = (&is.semantics, &was.semantics);
            told.push(format!("semantics_version {is} of the program, and it was {was}"));
        }
        told.join("; ")
    }

    /// The pipeline as it was, without sources; `None` where the program itself has changed.
    #[must_use]
    pub fn before(&self, pipeline: &Pipeline) -> Option<Pipeline> {
        let gwp =
            GwpSet::parse(&self.was.gwp).filter(|_| self.was.semantics == self.is.semantics)?;
        let mut before = pipeline.clone();
        before.policy.gwp = gwp;
        before.sources = Vec::new();
        before.restates_by_itself = true;
        // It ends once all it has is committed.
        if let Some(delta) = &mut before.delta {
            delta.commit_every_ms = delta.commit_every_ms.min(COMMIT_EVERY_MS);
        }
        Some(before)
    }

    /// Why entries are written that correct others.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let is_method = self.was.semantics != self.is.semantics;
        if is_method { Reason::MethodChange } else { Reason::GwpChange }
    }

    /// What would be booked, as of the newest commit; it goes to `give`.
    ///
    /// # Errors
    /// If it cannot be computed, or `give` ends it.
    pub fn compute(
        &self,
        pipeline: &Pipeline,
        (names, scratch): (&Arc<Names>, &Path),
        may_go_on: &dyn Fn(usize) -> bool,
        give: &mut dyn FnMut(Rows) -> Result<(), RestateError>,
    ) -> Result<Option<Found>, RestateError> {
        // Without a lake nothing was ever booked.
        let Some(lake) = pipeline.lake(false) else { return Ok(None) };
        let request = Request {
            lake,
            policy: &pipeline.policy,
            periods: Periods::All(self.reason()),
            base: Base::Ledger,
            names: Arc::clone(names),
            scratch,
            share_rows: SHARE_ROWS,
            may_go_on,
        };
        restate(&request, give)
    }

    /// Lets the journal of `pipeline`, which has booked everything, go on under the new method; says how many entries
    /// that restates. The next start books them.
    ///
    /// # Errors
    /// If it cannot be computed or put down; then nothing has changed.
    pub fn put_down(
        &self,
        pipeline: &Pipeline,
        clock: &dyn Clock,
        may_go_on: &dyn Fn(usize) -> bool,
    ) -> Result<u64, UpgradeError> {
        let names = Arc::new(Names::new());
        let Pipeline { state_dir, name, .. } = pipeline;
        let mut policy = pipeline.policy.clone();
        let (journal, found) =
            Journal::open_to_change(state_dir, name, &mut policy, Arc::clone(&names))?;
        if let Some(lake) = pipeline.lake(false) {
            let committed = LakeReader::of(lake, Arc::clone(&names), |_| false)?.committed();
            if found.newest_cut_ms > committed.map(Tick::ms) {
                return Err(UpgradeError::Unfinished);
            }
        }
        let id = journal.propose()?;
        let write = |part, rows: &Rows| -> Result<(), UpgradeError> {
            Ok(journal.propose_part(id, part, rows)?)
        };
        let computed =
            proposing(write, |give| self.compute(pipeline, (&names, state_dir), may_go_on, give))?;
        let Some(computed) = computed else {
            journal.change_method(&self.is, None)?;
            return Ok(0);
        };
        let entry = computed.entry;
        let recalls = match self.reason() {
            // What counts from before the horizon has no gas in it.
            Reason::GwpChange => Vec::new(),
            _ => recalls(computed, &journal.reader()?, &policy)?,
        };
        let ms = clock.now_ms().max(found.newest_ms.unwrap_or(0) + 1);
        fail::fail_point!("method-computed");
        journal.change_method(&self.is, Some((ms, &Restating { id, entry, recalls })))?;
        Ok(entry.activity + entry.emissions + entry.footprints)
    }
}
