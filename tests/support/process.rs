//! A server process that cannot outlive the test.
//!
//! A test may panic, be killed, or keep its server in a `static` that is never dropped. So the server
//! runs behind a small shell that reads commands from a pipe of ours: each line is the name of a signal
//! for the server, and the end of the pipe, however we ended, kills it.
//!
//! ```text
//!   test ──"TERM\n"──► pipe ──► sh: while read signal; kill -signal; done; kill -KILL ──► server
//! ```

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take until it answers. Generous: machines that test are busy.
pub(crate) const START_LIMIT: Duration = Duration::from_mins(2);
/// How long a server may take to end after it was asked to.
pub(crate) const STOP_LIMIT: Duration = Duration::from_mins(1);
/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Reads signal names from its input, line by line, for the command given as arguments. The command's own
/// input is empty; the reader is ended when the command ends by itself.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null &
server=$!
{ while read -r signal <&3; do kill -"$signal" $server; done; kill -KILL $server; } 2>/dev/null &
keeper=$!
wait $server
status=$?
kill $keeper 2>/dev/null
exit $status
"#;

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    shell: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in `log` and waits until `ready`.
    ///
    /// # Panics
    /// If it ends, or is not ready within [`START_LIMIT`]; the message ends with its last lines.
    pub(crate) fn start(command: &[String], log: &Path, ready: impl Fn() -> bool) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("a log file");
        let shell = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("sh starts");
        let mut process = Self { name: command[0].clone(), shell, log: log.to_owned() };
        let started = now();
        while !ready() {
            if let Some(status) = process.shell.try_wait().expect("a child can be asked") {
                panic!("{} ended with {status}:\n{}", process.name, process.last_lines());
            }
            let waited = started.elapsed();
            assert!(
                waited < START_LIMIT,
                "{} is not ready:\n{}",
                process.name,
                process.last_lines()
            );
            thread::sleep(LOOK_EVERY);
        }
        process
    }

    /// Sends it a signal by name, for example `STOP`, `CONT`, `HUP`.
    pub(crate) fn signal(&mut self, name: &str) {
        let pipe = self.shell.stdin.as_mut().expect("open until it is killed");
        pipe.write_all(format!("{name}\n").as_bytes()).expect("the keeper listens");
        pipe.flush().expect("the keeper listens");
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Ends it as a power cut would, and waits until it has.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        drop(self.shell.stdin.take());
        self.wait()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.shell.try_wait().expect("a child can be asked")
    }

    /// The end of what it printed.
    pub(crate) fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("a server to end", STOP_LIMIT, || {
            status = self.shell.try_wait().expect("a child can be asked");
            status.is_some()
        });
        status.expect("waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.shell.try_wait().is_ok_and(|status| status.is_none()) {
            drop(self.shell.stdin.take());
            // Reaped, so that its ports are free when the next test looks for some.
            drop(self.shell.wait());
        }
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within `limit`.
#[track_caller]
pub(crate) fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let started = now();
    while !condition() {
        assert!(started.elapsed() < limit, "waited {limit:?} for {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// A port of the loopback nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback has free ports");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// Whether somebody listens on a port of the loopback.
pub(crate) fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

#[expect(clippy::disallowed_methods, reason = "tests wait for real servers in real time")]
fn now() -> Instant {
    Instant::now()
}
