//! Health and metrics: a listener of its own, always on.
//!
//! * `/metrics`: all series, as of one tick, in the Prometheus text format 0.0.4.
//! * `/healthz`: the process is alive.
//! * `POST /restate`: what is pending below the horizon is to be restated now.
//! * `/readyz`: readings are taken in and committed; otherwise 503 and what is wrong, a line each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::task::JoinHandle;

use crate::runtime::{RunError, Telemetry};

/// How long a pipeline may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/restate", post(restate))
        .with_state(telemetry);
    #[expect(clippy::disallowed_methods, reason = "the handle is returned, and its end observed")]
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, pages).await {
            tracing::error!(%error, "the metrics listener ended");
        }
    });
    Ok((bound, serving))
}

/// Asks the pipeline that listens at `address` to do something; what it answers.
///
/// # Errors
/// If nobody answers, or says no.
pub fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 202") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other("another program listens there")),
    }
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], telemetry.metrics_page())
}

async fn restate(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    telemetry.ask_for_restatement();
    (StatusCode::ACCEPTED, "what is pending below the horizon is restated, behind the live input\n")
}

async fn ready(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    let (is_ready, body) = telemetry.readiness();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, body)
}
