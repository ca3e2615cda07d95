//! Health and metrics: a listener of its own, always on.
//!
//! * `/metrics`: all series, as of one tick, in the Prometheus text format 0.0.4.
//! * `/healthz`: the process is alive.
//! * `/readyz`: readings are taken in and committed; otherwise 503 and what is wrong, a line each.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::task::JoinHandle;

use crate::runtime::{RunError, Telemetry};

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
        .with_state(telemetry);
    #[expect(clippy::disallowed_methods, reason = "the handle is returned, and its end observed")]
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, pages).await {
            tracing::error!(%error, "the metrics listener ended");
        }
    });
    Ok((bound, serving))
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], telemetry.metrics_page())
}

async fn ready(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    let (is_ready, body) = telemetry.readiness();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, body)
}
