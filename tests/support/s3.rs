//! An S3 server: `moto_server` of Python. It knows conditional writes; being one interpreter, it says
//! nothing about races.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use tempfile::TempDir;

use super::process::{Process, answers, free_port};
use super::python;

/// A server with one bucket on the loopback.
#[derive(Debug)]
pub(crate) struct S3 {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl S3 {
    /// The bucket every server has.
    pub(crate) const BUCKET: &'static str = "ledger";

    /// Starts a server with an empty bucket; `None` if there is no Python with moto.
    pub(crate) fn start() -> Option<Self> {
        let python = python()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let words = ["-m", "moto.server", "-H", "127.0.0.1", "-p"];
        let mut command = vec![python.display().to_string()];
        command.extend(words.map(str::to_owned));
        command.push(port.to_string());
        let process = Process::start(&command, &folder.path().join("s3.log"), || answers(port));
        let server = Self { process, port, _folder: folder };
        let response = server.request("PUT", &format!("/{}", Self::BUCKET));
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        Some(server)
    }

    /// Its address.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a client needs in its environment: any key is good.
    pub(crate) fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "eu-west-2".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]
    }

    /// The process, to signal it.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends a request without a body and returns the whole response.
    pub(crate) fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it answers");
        let head = "Host: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        write!(stream, "{method} {path} HTTP/1.1\r\n{head}").expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("it answers in text");
        response
    }
}
