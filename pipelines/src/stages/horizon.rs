//! When the horizon moves, for stages that forget what lies before it.
//!
//! It moves at instants of its own, a UTC day apart at least, whether or not anything arrives: otherwise what is told
//! then ([`super::notice::Notice::Kept`]) would depend on when a worker next has something to do.
//!
//! 1. Hold a capability where the inputs are, up to the next move. *So nothing downstream takes the move for
//!    past; nor, when the inputs close, anything before it for come.*
//! 2. When the inputs have passed the move, let the stage forget, and wait for the one after.
//! 3. Inputs that are closed are not the passing of time: let go.

use timely::dataflow::operators::Capability;
use timely::progress::frontier::MutableAntichain;

use crate::model::{Cause, Policy, Tick};

/// The moves of the horizon still to come, with capabilities of both outputs of a stage.
#[derive(Debug)]
pub struct Moves {
    policy: Policy,
    next: Tick,
    held: Option<[Capability<Tick>; 2]>,
}

impl Moves {
    /// The moves after `restored`; `initial` are a new operator's capabilities.
    ///
    /// # Panics
    /// If the operator has not two outputs.
    #[must_use]
    pub fn new(policy: &Policy, restored: Tick, initial: &[Capability<Tick>]) -> Self {
        let [first, second] = initial else { panic!("a stage of two outputs") };
        let held = Some([first.clone(), second.clone()]);
        Self { policy: policy.clone(), next: after(policy, restored), held }
    }

    /// The latest move that `inputs` have passed, and that comes before what is `stashed`. With nothing in
    /// between, one move is as good as several.
    pub fn due(
        &mut self,
        inputs: &[MutableAntichain<Tick>],
        stashed: Option<Tick>,
    ) -> Option<Tick> {
        let open = inputs.iter().filter_map(|input| input.frontier().first().copied()).min();
        let Some(open) = open else {
            self.held = None;
            return None;
        };
        let end = stashed.map_or(open, |tick| tick.next().min(open));
        if end > self.next && self.held.is_some() {
            let moved_ms = self.policy.horizon_moved_ms(Tick(end.0 - 1));
            self.next = Tick::new(moved_ms, Cause::Time);
            return Some(self.next);
        }
        for capability in self.held.iter_mut().flatten() {
            capability.downgrade(&open.min(self.next));
        }
        None
    }

    /// Capabilities for the move that is due.
    ///
    /// # Panics
    /// If no move is [`Self::due`].
    #[must_use]
    pub fn held(&self) -> &[Capability<Tick>; 2] {
        self.held.as_ref().expect("a move that is due is held")
    }

    /// The move is made: waits for the one after.
    pub fn passed(&mut self) {
        self.next = after(&self.policy, self.next);
    }
}

/// The first move after `tick`.
fn after(policy: &Policy, tick: Tick) -> Tick {
    Tick::new(policy.horizon_moves_ms(tick), Cause::Time)
}
