//! A store that fails on demand, before or after it did what was asked.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// The puts of paths that contain `matching` fail, `failures` times.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: InMemory,
    pub(super) matching: &'static str,
    pub(super) failures: AtomicUsize,
    /// Whether the put is done before its answer is lost.
    pub(super) is_done: AtomicBool,
}

impl Faulty {
    pub(super) fn new(matching: &'static str) -> Arc<Self> {
        let (failures, is_done) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { inner: InMemory::new(), matching, failures, is_done })
    }

    pub(super) fn fail(&self, times: usize, is_done: bool) {
        self.is_done.store(is_done, Ordering::SeqCst);
        self.failures.store(times, Ordering::SeqCst);
    }

    fn strikes(&self, location: &Path) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        location.as_ref().contains(self.matching)
            && self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if !self.strikes(location) {
            return self.inner.put_opts(location, payload, options).await;
        }
        if self.is_done.load(Ordering::SeqCst) {
            self.inner.put_opts(location, payload, options).await?;
        }
        Err(Error::Generic { store: "Faulty", source: "the answer was lost".into() })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
