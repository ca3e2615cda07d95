//! Ctrl-C and SIGTERM: the first asks the demo to end, the second ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Whether somebody asked the demo to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Whether somebody did.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Asks the demo to end.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Listens from now on.
pub(super) fn listen() -> io::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let heard = interrupt.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut keyboard, mut supervisor) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("demo-signals".to_owned()).spawn(move || {
        runtime.block_on(async move {
            first_of(&mut keyboard, &mut supervisor).await;
            heard.set();
            first_of(&mut keyboard, &mut supervisor).await;
            std::process::exit(INTERRUPTED);
        });
    })?;
    Ok(interrupt)
}

async fn first_of(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
