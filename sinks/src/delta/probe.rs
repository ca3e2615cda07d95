//! `check --connect`: tries exactly the operations a lake needs, before a pipeline relies on them.

use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::engine::Engine;
use super::error::LakeError;
use super::place::Place;

/// The object that is written, read and deleted.
const PROBE: &str = "_plumeline_probe";
const CONTENT: &[u8] = b"written by plumeline check; safe to delete\n";

/// Lists, creates, fails to create again, reads and deletes an object at `url`.
///
/// # Errors
/// The first operation that does not do what it must.
pub(super) fn probe(url: &str) -> Result<(), LakeError> {
    let engine = Engine::new(Place::open(url)?)?;
    let path = engine.place.path(PROBE)?;
    let store = &engine.place.store;
    let failed = |doing: &str| {
        let doing = format!("{doing} `{path}`");
        move |error| LakeError::store(doing, error)
    };
    let unsuitable = |reason| LakeError::Unsuitable { url: url.into(), reason };
    let create = || {
        let options = PutOptions::from(PutMode::Create);
        store.put_opts(&path, PutPayload::from_static(CONTENT), options)
    };
    engine.block_on(async {
        let root = engine.place.path("")?;
        store.list_with_delimiter(Some(&root)).await.map_err(failed("list beside"))?;
        match store.delete(&path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(failed("delete an earlier")(error)),
        }
        create().await.map_err(failed("write"))?;
        match create().await {
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
            Ok(_) => {
                return Err(unsuitable(
                    "overwrites an object that was to be created only if absent",
                ));
            }
            Err(error) => return Err(failed("conditionally create")(error)),
        }
        let read = async { store.get(&path).await?.bytes().await };
        if read.await.map_err(failed("read"))? != CONTENT {
            return Err(unsuitable("does not return what was written"));
        }
        store.delete(&path).await.map_err(failed("delete"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_suitable_and_is_left_clean() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = folder.path().join("lake");
        probe(url.to_str().expect("UTF-8")).expect("suitable");
        assert_eq!(std::fs::read_dir(&url).expect("made").count(), 0);
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = probe(file.path().to_str().expect("UTF-8")).expect_err("no folder");
        assert!(matches!(error, LakeError::Store { .. }), "{error}");
    }
}
