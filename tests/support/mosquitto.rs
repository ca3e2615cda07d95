//! An Eclipse Mosquitto broker (Debian package `mosquitto`), with sessions that survive its restart.

use std::path::PathBuf;

use tempfile::TempDir;

use super::process::{Process, answers, free_port};
use super::{program, require};

/// A broker for MQTT 5 and 3.1.1 on the loopback.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    process: Process,
    program: PathBuf,
    port: u16,
    folder: TempDir,
}

impl Mosquitto {
    /// Starts a broker; `None` if there is none on this machine.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// Starts a broker with further lines in its configuration.
    pub(crate) fn start_with(lines: &str) -> Option<Self> {
        let program = require("mosquitto (Debian package)", program("mosquitto"))?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let path = folder.path().display();
        // Queues are unbounded: what a test loses, the product lost. `user root` keeps a broker started
        // by root from giving up its rights to a folder it could then not write.
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nset_tcp_nodelay true\n\
             persistence true\npersistence_location {path}/\nautosave_interval 1\n\
             max_inflight_messages 0\nmax_queued_messages 0\nmax_queued_bytes 0\n\
             log_dest stderr\nlog_type error\nlog_type warning\nlog_type notice\n{lines}\n"
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).expect("a new file");
        let process = run(&program, &folder, port);
        Some(Self { process, program, port, folder })
    }

    /// Its address, as a pipeline file writes it.
    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The process, to signal it.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it in good order: sessions are written to disk.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it anew on the same port and folder.
    pub(crate) fn start_again(&mut self) {
        self.process = run(&self.program, &self.folder, self.port);
    }
}

fn run(program: &std::path::Path, folder: &TempDir, port: u16) -> Process {
    let config = folder.path().join("mosquitto.conf");
    let command = [program.display().to_string(), "-c".to_owned(), config.display().to_string()];
    Process::start(&command, &folder.path().join("mosquitto.log"), || answers(port))
}
