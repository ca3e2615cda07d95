//! Health and metrics: a listener of its own, always on.
//!
//! * `/metrics`: all series, as of one tick, in the Prometheus text format 0.0.4.
//! * `/healthz`: the process is alive.
//! * `/readyz`: readings are taken in and committed; otherwise 503 and what is wrong, a line each.
//!
//! What changes anything is for whoever is on this machine, and no page in their browser (hence [`HEADER`]):
//!
//! * `POST /restate`: what is pending below the horizon is to be restated now.
//! * `POST /facts/apply`: an edit of the tables that waits, since it touches much, is to be applied.
//! * `POST /backfill`: files of history are to be taken in, a path a line.
//! * `GET /backfill`: how far they have come, as JSON.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::task::JoinHandle;

use crate::config::Pipeline;
use crate::runtime::{RunError, Telemetry};

/// How long a pipeline may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a request to change something carries, with the pipeline's name: a browser adds it for no page of another site.
const HEADER: &str = "plumeline-order";

/// Why nothing below the horizon can be booked.
const NO_HISTORY: &str =
    "the pipeline has no tables of readings: nothing can be booked below retain";

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Listens until the task is aborted; gives the address it listens on, whose port differs from that of
/// `address` where that is 0.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    telemetry: Arc<Telemetry>,
) -> Result<(SocketAddr, JoinHandle<()>), RunError> {
    let refused = |cause| RunError::Http { address, cause };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let here = (bound, Arc::clone(&telemetry));
    let orders = Router::new()
        .route("/restate", post(restate))
        .route("/facts/apply", post(apply_facts))
        .route("/backfill", get(imports).post(backfill))
        .layer(from_fn(move |request, next| from_here(here.clone(), request, next)));
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .merge(orders)
        .with_state(telemetry)
        .into_make_service_with_connect_info::<SocketAddr>();
    #[expect(clippy::disallowed_methods, reason = "the handle is returned, and its end observed")]
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, pages).await {
            tracing::error!(%error, "the metrics listener ended");
        }
    });
    Ok((bound, serving))
}

/// A pipeline, and where it listens.
#[derive(Copy, Clone, Debug)]
pub struct There<'p> {
    /// Where.
    pub address: SocketAddr,
    /// Its name: another one that listens there does nothing.
    pub pipeline: &'p str,
}

impl<'p> There<'p> {
    /// Where `pipeline` listens, if it runs.
    #[must_use]
    pub fn of(pipeline: &'p Pipeline) -> Self {
        Self { address: pipeline.http, pipeline: &pipeline.name }
    }

    /// Asks it to do something, by a text where it takes one; what it answers, or why it does not.
    ///
    /// # Errors
    /// If nobody answers, or another program does.
    pub fn ask(self, path: &str, text: &str) -> io::Result<Result<String, String>> {
        match self.exchange(("POST", path), text)? {
            (202, answer) => Ok(Ok(answer)),
            (409, why) => Ok(Err(why)),
            _ => Err(io::Error::other("another program listens there")),
        }
    }

    /// Looks at a page of it.
    ///
    /// # Errors
    /// As [`Self::ask`], or if another pipeline answers.
    pub fn look(self, path: &str) -> io::Result<String> {
        match self.exchange(("GET", path), "")? {
            (200, page) => Ok(page),
            (409, why) => Err(io::Error::other(why)),
            _ => Err(io::Error::other("another program listens there")),
        }
    }

    /// Status and body of what is answered.
    fn exchange(self, (method, path): (&str, &str), text: &str) -> io::Result<(u16, String)> {
        let Self { address, pipeline } = self;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let size = text.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{HEADER}: {pipeline}\r\nContent-Length: {size}\r\n\
             Connection: close\r\n\r\n{text}"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        Ok((status.unwrap_or(0), body.to_owned()))
    }
}

/// Lets a request pass that comes from this machine (from the loopback, or the address we listen on), and means this
/// pipeline.
async fn from_here(
    (bound, telemetry): (SocketAddr, Arc<Telemetry>),
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let is_near = peer.is_some_and(|ip| ip.is_loopback() || ip == bound.ip());
    let Some(meant) = request.headers().get(HEADER).filter(|_| is_near) else {
        let told = "ask with `plumeline`, on the machine it runs on\n";
        return (StatusCode::FORBIDDEN, told).into_response();
    };
    if meant.as_bytes() != telemetry.pipeline().as_bytes() {
        let told =
            format!("the pipeline \"{}\" runs there, and not this one", telemetry.pipeline());
        return (StatusCode::CONFLICT, told).into_response();
    }
    next.run(request).await
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], telemetry.metrics_page())
}

async fn restate(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    if !telemetry.has_history() {
        return (StatusCode::CONFLICT, NO_HISTORY);
    }
    telemetry.ask_for_restatement();
    (StatusCode::ACCEPTED, "what is pending below the horizon is restated, behind the live input\n")
}

async fn apply_facts(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    let told = if telemetry.ask_for_facts() {
        "the edit of the tables that waited is applied\n"
    } else {
        "no edit of the tables waits\n"
    };
    (StatusCode::ACCEPTED, told)
}

async fn backfill(State(telemetry): State<Arc<Telemetry>>, text: String) -> impl IntoResponse {
    if !telemetry.has_history() {
        return (StatusCode::CONFLICT, NO_HISTORY.to_owned());
    }
    if !telemetry.imports().ask(text.lines().map(PathBuf::from)) {
        let told = "another `plumeline` takes in files or restates, and ends by itself: ask again after that";
        return (StatusCode::CONFLICT, told.to_owned());
    }
    (StatusCode::ACCEPTED, "the files are taken in, behind the live input\n".to_owned())
}

async fn imports(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    let told = serde_json::to_string(&telemetry.import_progress()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], told)
}

async fn ready(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    let (is_ready, body) = telemetry.readiness();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, body)
}
