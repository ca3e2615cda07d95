//! Whether a journal and the tables belong together.

use std::sync::Arc;

use plumeline_connectors::goes_on_from;
use plumeline_pipelines::model::Tick;
use plumeline_sinks::delta::{Lake, LakeError, Positions};

use crate::config::Pipeline;
use crate::journal::{Found, Journal, JournalError};

/// The newest cut in the ledger, ms. Ledger and journal have to know the same cuts: else one of them is
/// another one, or was set back, and what is booked from here would be differences from a wrong base.
pub(super) fn committed(
    lake: Option<&Lake>,
    journal: &Journal,
    found: Found,
) -> Result<Option<i64>, JournalError> {
    let Some(lake) = lake else { return Ok(found.committed_ms) };
    let refused = |text: String| Err(JournalError::Ledger(text));
    match lake.committed().map(Tick::ms) {
        Some(ms) if found.newest_ms.is_none() => refused(format!(
            "the tables hold commits up to {}, and the state folder holds no journal. `plumeline restore \
             PIPELINE.toml` makes it anew from the tables; if the state folder is elsewhere, put it back; to begin \
             anew, give the sink another url",
            shown(ms)
        )),
        None if found.newest_ms.is_none() && is_begun(lake) => refused(
            "the tables hold rows of a first commit that did not come to its end, and the state folder holds no \
             journal. `plumeline restore PIPELINE.toml` makes it anew from the tables; to begin anew, give the sink \
             another url"
                .to_owned(),
        ),
        Some(ms) if !journal.is_cut(ms)? => refused(format!(
            "the tables hold a commit of {} that the journal does not know: the state folder was set back, \
             or another process writes the same tables. Put the newest state folder back, or give the sink \
             another url",
            shown(ms)
        )),
        None if found.committed_ms.is_some() => refused(
            "the journal has committed to tables that are not there: the sink's url is another one, or they \
             were deleted. Put them back, or give the pipeline another state_dir to begin anew"
                .to_owned(),
        ),
        committed => Ok(committed),
    }
}

/// Refuses a source that would read anew what one has read that is no longer there: it was renamed. *It would go on
/// somewhere else, and nobody would notice.* One whose id is written is meant so.
pub(super) fn renamed(pipeline: &Pipeline, journal: &Journal) -> Result<(), JournalError> {
    let is_there = |key: &str| pipeline.sources.iter().any(|source| source.key() == key);
    for source in pipeline.sources.iter().filter(|source| source.id.is_none()) {
        if !journal.positions(source.key())?.is_empty() {
            continue;
        }
        for gone in journal.sources().all().iter().filter(|known| !is_there(known)) {
            if journal.positions(gone)?.iter().any(|at| goes_on_from(&source.config, at)) {
                let (was, name) = (gone.to_string(), source.name.clone());
                return Err(JournalError::Renamed { name, was });
            }
        }
    }
    Ok(())
}

/// Where sources are read on as of the newest commit, as far as it says.
pub(super) fn positions(lake: Option<&Lake>) -> Result<Arc<Positions>, LakeError> {
    let proof = lake.map(Lake::proof).transpose()?.flatten();
    let resume = proof.and_then(|proof| proof.resume).unwrap_or_default();
    Ok(Arc::new(resume.positions))
}

/// Whether a table holds anything.
fn is_begun(lake: &Lake) -> bool {
    lake.committed_tables().values().any(Option::is_some)
}

fn shown(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
