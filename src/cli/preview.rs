//! What something would restate, computed and not booked.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plumeline::bar::Bar;
use plumeline::chain;
use plumeline::config::Pipeline;
use plumeline::restate::{Effect, RestateError};
use plumeline_pipelines::model::Names;
use plumeline_sinks::delta::Rows;

/// Takes what is found.
pub(super) type Give<'g> = &'g mut dyn FnMut(Rows) -> Result<(), RestateError>;
/// Is told how far it has come, in thousandths.
pub(super) type GoOn<'g> = &'g dyn Fn(usize) -> bool;

/// Lets `compute` find entries, with scratch files in a folder of its own choice, behind a bar; gives what it says of
/// them, and their table in kg by company, scope and month.
pub(super) fn preview<T>(
    pipeline: &Pipeline,
    names: &Arc<Names>,
    compute: impl FnOnce(&Path, GoOn<'_>, Give<'_>) -> Result<T, RestateError>,
) -> Result<(T, String), String> {
    let mut effect = Effect::new(Arc::clone(names), pipeline.timezone.clone());
    let mut give = |rows| {
        effect.add(&rows);
        Ok(())
    };
    let bar = RefCell::new(Bar::new("computing"));
    let may_go_on = |permille| {
        bar.borrow_mut().show(permille, 1000);
        true
    };
    let found = compute(&scratch(pipeline), &may_go_on, &mut give);
    bar.borrow_mut().end();
    let found = found.map_err(|error| chain(&error))?;
    Ok((found, effect.table().trim_end().to_owned()))
}

/// Where there is room: a folder for temporary files is often memory.
fn scratch(pipeline: &Pipeline) -> PathBuf {
    let state = &pipeline.state_dir;
    if state.is_dir() { state.clone() } else { std::env::temp_dir() }
}
