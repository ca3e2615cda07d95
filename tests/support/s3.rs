//! An S3 server: `moto_server` of Python. It knows conditional writes; being one interpreter, it says
//! nothing about races.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use tempfile::TempDir;

use super::process::{Process, answers, free_port};
use super::python;

/// A server with one bucket on the loopback.
#[derive(Debug)]
pub(crate) struct S3 {
    process: Process,
    bucket: Bucket,
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
        let bucket = Bucket { port };
        bucket.request("PUT", &format!("/{}", Self::BUCKET));
        Some(Self { process, bucket, _folder: folder })
    }

    /// Its bucket.
    pub(crate) fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// What a client needs in its environment: any key is good.
    pub(crate) fn environment(&self) -> [(&'static str, String); 5] {
        self.bucket.environment()
    }

    /// The process, to signal it.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The server's bucket, seen by somebody who only reads.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Bucket {
    port: u16,
}

impl Bucket {
    /// Its server's port on the loopback.
    pub(crate) fn port(self) -> u16 {
        self.port
    }

    /// See [`S3::environment`].
    pub(crate) fn environment(self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "eu-west-2".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]
    }

    /// The names of all objects that begin with `prefix`, in order.
    pub(crate) fn list(self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().cloned().unwrap_or_default();
            let query = format!("list-type=2&prefix={prefix}&start-after={after}");
            let page = self.request("GET", &format!("/{}?{query}", S3::BUCKET));
            let page = String::from_utf8(page).expect("a list is text");
            let found = page.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
            names.extend(found.map(|(name, _)| name.to_owned()));
            if !page.contains("<IsTruncated>true") {
                return names;
            }
        }
    }

    /// Writes all objects that begin with `prefix` below `folder`, by their names. Objects do not change, but
    /// for those whose names begin with `_`: others that are there already are left alone.
    pub(crate) fn fetch(self, prefix: &str, folder: &Path) {
        for name in self.list(prefix) {
            let path = folder.join(&name);
            let changes = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('_'));
            if path.exists() && !changes {
                continue;
            }
            let bytes = self.request("GET", &format!("/{}/{name}", S3::BUCKET));
            std::fs::create_dir_all(path.parent().expect("it is below")).expect("it is ours");
            std::fs::write(path, bytes).expect("the folder is ours");
        }
    }

    /// Sends a request without a body and returns what the response brings.
    ///
    /// # Panics
    /// If the server refuses.
    fn request(self, method: &str, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it answers");
        // It looks whether a request is signed, not how.
        let head = "Host: 127.0.0.1\r\nAuthorization: AWS test:test\r\nContent-Length: 0\r\n\
                    Connection: close\r\n\r\n";
        write!(stream, "{method} {path} HTTP/1.1\r\n{head}").expect("it reads");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).expect("it answers");
        let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        let body = response.split_off(end + 4);
        let head = String::from_utf8_lossy(&response);
        assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {head}");
        assert!(!head.to_lowercase().contains("chunked"), "{method} {path}: {head}");
        body
    }
}
