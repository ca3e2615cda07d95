//! A store that fails on demand: which operation, on which paths, how often, and how.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use tokio::sync::Semaphore;

/// What is asked of a store.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Put,
    /// Also of an object's size alone.
    Get,
    List,
    Delete,
}

/// What comes of it instead.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A 503: nothing was done.
    Away,
    /// It was done, and the connection broke before the answer came.
    AnswerLost,
    /// A 403.
    Denied,
    /// A 401.
    Unknown,
    /// A 404 of the bucket, whatever is asked.
    Gone,
    /// The connection breaks half way through what is read.
    BreaksOff,
    /// What is read ends half way, and nothing says so.
    Short,
    /// It takes until the test opens the gate (see [`Faulty::open_gate`]), and is done then.
    Held,
}

/// The next `times` calls of `operation` on paths that contain `matching` go wrong.
#[derive(Debug)]
struct Trap {
    operation: Operation,
    matching: &'static str,
    times: usize,
    fault: Fault,
}

/// A store in memory with traps.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: InMemory,
    traps: Mutex<Vec<Trap>>,
    sprung: AtomicUsize,
    gate: Arc<Semaphore>,
}

impl Faulty {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: InMemory::new(),
            traps: Mutex::default(),
            sprung: AtomicUsize::new(0),
            gate: Arc::new(Semaphore::new(0)),
        })
    }

    /// Sets a trap, behind those that are set already.
    pub(super) fn trap(
        &self,
        operation: Operation,
        matching: &'static str,
        times: usize,
        fault: Fault,
    ) {
        self.traps().push(Trap { operation, matching, times, fault });
    }

    /// Every call goes wrong, until [`Self::heal`].
    pub(super) fn trap_everything(&self, fault: Fault) {
        for operation in [Operation::Put, Operation::Get, Operation::List, Operation::Delete] {
            self.trap(operation, "", usize::MAX, fault);
        }
    }

    /// Deletes every object whose path contains `matching`.
    pub(super) async fn forget(&self, matching: &str) {
        let all: Vec<_> = self.inner.list(None).collect().await;
        for object in all.into_iter().flatten() {
            if object.location.as_ref().contains(matching) {
                self.inner.delete(&object.location).await.expect("it is there");
            }
        }
    }

    /// Takes all traps away.
    pub(super) fn heal(&self) {
        self.traps().clear();
    }

    /// How many calls have gone wrong.
    pub(super) fn sprung(&self) -> usize {
        self.sprung.load(Ordering::SeqCst)
    }

    /// Lets one call through that is held, or will be.
    pub(super) fn open_gate(&self) {
        self.gate.add_permits(1);
    }

    fn traps(&self) -> MutexGuard<'_, Vec<Trap>> {
        self.traps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault of this call, if it has one.
    fn strike(&self, operation: Operation, path: &str) -> Option<Fault> {
        let mut traps = self.traps();
        let is_it = |trap: &&mut Trap| {
            trap.times > 0 && trap.operation == operation && path.contains(trap.matching)
        };
        let trap = traps.iter_mut().find(is_it)?;
        trap.times -= 1;
        self.sprung.fetch_add(1, Ordering::SeqCst);
        Some(trap.fault)
    }

    /// What goes wrong before anything is done; the fault is left for what comes after.
    async fn before(&self, operation: Operation, path: &str) -> Result<Option<Fault>> {
        let fault = self.strike(operation, path);
        match fault {
            Some(Fault::Held) => self.gate.acquire().await.expect("never closed for good").forget(),
            Some(fault) => refusal(fault, path).map_or(Ok(()), Err)?,
            None => {}
        }
        Ok(fault)
    }

    fn listed(
        &self,
        prefix: Option<&Path>,
        found: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let path = prefix.map_or("", AsRef::as_ref);
        let Some(fault) = self.strike(Operation::List, path) else { return found };
        if let Some(refusal) = refusal(fault, path) {
            return stream::iter([Err(refusal)]).boxed();
        }
        let lost = stream::iter([Err(broken("the connection was reset"))]);
        match fault {
            Fault::AnswerLost => lost.boxed(),
            Fault::BreaksOff => found.take(1).chain(lost).boxed(),
            Fault::Held => {
                let gate = Arc::clone(&self.gate);
                let opened = async move {
                    gate.acquire().await.expect("never closed for good").forget();
                };
                stream::once(opened)
                    .zip(stream::iter([found]))
                    .flat_map(|((), found)| found)
                    .boxed()
            }
            _ => found,
        }
    }
}

/// What a store answers that does nothing.
fn refusal(fault: Fault, path: &str) -> Option<Error> {
    let path = path.to_owned();
    match fault {
        Fault::Away => Some(broken("503 Slow Down")),
        Fault::Denied => Some(Error::PermissionDenied { path, source: "403".into() }),
        Fault::Unknown => Some(Error::Unauthenticated { path, source: "401".into() }),
        Fault::Gone => Some(Error::NotFound { path, source: "404 NoSuchBucket".into() }),
        Fault::AnswerLost | Fault::BreaksOff | Fault::Short | Fault::Held => None,
    }
}

fn broken(reason: &'static str) -> Error {
    Error::Generic { store: "Faulty", source: reason.into() }
}

/// Loses the answer of what was done, if that is the fault.
fn answered<T>(done: T, fault: Option<Fault>) -> Result<T> {
    match fault {
        Some(Fault::AnswerLost) => Err(broken("the connection was reset")),
        _ => Ok(done),
    }
}

/// The first half of what was read, and how it ends.
async fn half(found: GetResult, fault: Fault) -> Result<GetResult> {
    let GetResult { meta, range, attributes, extensions, payload } = found;
    let whole = GetResult {
        payload,
        meta: meta.clone(),
        range: range.clone(),
        attributes: attributes.clone(),
        extensions: extensions.clone(),
    };
    let bytes = whole.bytes().await?;
    let mut parts = vec![Ok(bytes.slice(..bytes.len() / 2))];
    if fault == Fault::BreaksOff {
        parts.push(Err(broken("the connection was reset")));
    }
    let payload = GetResultPayload::Stream(stream::iter(parts).boxed());
    Ok(GetResult { payload, meta, range, attributes, extensions })
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
        let fault = self.before(Operation::Put, location.as_ref()).await?;
        answered(self.inner.put_opts(location, payload, options).await?, fault)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.before(Operation::Put, location.as_ref()).await?;
        answered(self.inner.put_multipart_opts(location, options).await?, fault)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.before(Operation::Get, location.as_ref()).await?;
        let found = answered(self.inner.get_opts(location, options).await?, fault)?;
        match fault {
            Some(fault @ (Fault::BreaksOff | Fault::Short)) => half(found, fault).await,
            _ => Ok(found),
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        if self.strike(Operation::Delete, "").is_some() {
            return stream::iter([Err(broken("503 Slow Down"))]).boxed();
        }
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.map_or("", AsRef::as_ref);
        let fault = self.before(Operation::List, path).await?;
        answered(self.inner.list_with_delimiter(prefix).await?, fault)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
