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
//! * `POST /backfill`: files of history are to be taken in: the pipeline's name, then a path a line.
//! * `GET /backfill`: how far they have come, as JSON.

use std::io::{Read, Write};
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

use crate::runtime::{RunError, Telemetry};

/// How long a pipeline may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a request to change something carries: a browser adds it for no page of another site.
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
    let orders = Router::new()
        .route("/restate", post(restate))
        .route("/facts/apply", post(apply_facts))
        .route("/backfill", get(imports).post(backfill))
        .layer(from_fn(move |request, next| from_here(bound, request, next)));
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

/// Asks the pipeline that listens at `address` to do something; what it answers, which may be why it does not.
///
/// # Errors
/// If nobody answers, or another program does.
pub fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    send(address, ("POST", path), "")?.map_err(std::io::Error::other)
}

/// Asks for something that comes with a text; what is answered, or why not.
///
/// # Errors
/// If nobody answers, or another program does.
pub fn send(
    address: SocketAddr,
    (method, path): (&str, &str),
    text: &str,
) -> std::io::Result<Result<String, String>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{HEADER}: yes\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 20") => Ok(Ok(body.to_owned())),
        Some((head, body)) if head.starts_with("HTTP/1.1 409") => Ok(Err(body.to_owned())),
        _ => Err(std::io::Error::other("another program listens there")),
    }
}

/// Lets a request pass that comes from this machine: from the loopback, or the address we listen on.
async fn from_here(bound: SocketAddr, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let is_near = peer.is_some_and(|ip| ip.is_loopback() || ip == bound.ip());
    if is_near && request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "ask with `plumeline`, on the machine it runs on\n").into_response()
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
    let mut lines = text.lines();
    if lines.next() != Some(telemetry.pipeline()) {
        let told =
            format!("the pipeline \"{}\" runs there, and not this one", telemetry.pipeline());
        return (StatusCode::CONFLICT, told);
    }
    if !telemetry.has_history() {
        return (StatusCode::CONFLICT, NO_HISTORY.to_owned());
    }
    if !telemetry.imports().ask(lines.map(PathBuf::from)) {
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
