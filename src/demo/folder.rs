//! DIR: the demo's files, and nothing outside of it.
//!
//! ```text
//!   DIR/.plumeline-demo    says that the folder is a demo's and may be cleared by the next one
//!       pipeline.toml      the sample pipeline with addresses filled in
//!       meters.csv nodes.csv, and what else a story brings
//!       lake/ state/       what the pipeline writes
//! ```
//!
//! A demo starts at the same simulated instant each time, so it cannot go on with the tables of the last
//! one: it clears them, by name. A folder with anything else in it and without the mark is refused.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use plumeline_fixtures::files;
use plumeline_fixtures::fleet::Fleet;

use super::error::DemoError;
use super::servers::{Servers, free_address};

const MARK: &str = ".plumeline-demo";
/// Folders the pipeline writes to.
const WRITTEN: [&str; 2] = ["lake", "state"];
/// Where metrics are served if nobody else listens there: the default of a pipeline file.
const HTTP_PORT: u16 = 9926;

/// A demo's folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    http: SocketAddr,
}

impl Folder {
    /// Creates or clears the folder and writes the fleet's pipeline file and its tables.
    pub(super) fn create(path: &Path, fleet: &Fleet, servers: &Servers) -> Result<Self, DemoError> {
        let folder = Self::cleared(path)?;
        let pipeline = files::text("demo/pipeline.toml")
            .replace("{mqtt}", &servers.mqtt().to_string())
            .replace("{kafka}", &servers.kafka())
            .replace("{http}", &folder.http.to_string());
        folder.write("pipeline.toml", &pipeline)?;
        folder.write("meters.csv", &fleet.meters_csv())?;
        folder.write("nodes.csv", &fleet.nodes_csv())?;
        Ok(folder)
    }

    /// A folder that holds nothing an earlier demo's pipeline has written.
    pub(super) fn cleared(path: &Path) -> Result<Self, DemoError> {
        let in_file = |path: &Path| {
            let path = path.to_owned();
            move |source| DemoError::File { path, source }
        };
        fs::create_dir_all(path).map_err(in_file(path))?;
        let is_empty = fs::read_dir(path).map_err(in_file(path))?.next().is_none();
        if !is_empty && !path.join(MARK).exists() {
            return Err(DemoError::ForeignFolder(path.to_owned()));
        }
        for name in WRITTEN {
            let folder = path.join(name);
            remove(&folder).map_err(in_file(&folder))?;
        }
        let folder = Self { path: path.to_owned(), http: http_address()? };
        folder.write(MARK, "A demo's folder: the next demo clears it.\n")?;
        Ok(folder)
    }

    /// Writes a file.
    pub(super) fn write(&self, name: &str, content: &str) -> Result<(), DemoError> {
        let path = self.path.join(name);
        fs::write(&path, content).map_err(|source| DemoError::File { path, source })
    }

    /// Appends to a file.
    pub(super) fn append(&self, name: &str, content: &str) -> Result<(), DemoError> {
        let path = self.path.join(name);
        let file = File::options().append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(content.as_bytes()));
        written.map_err(|source| DemoError::File { path, source })
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where metrics are served.
    pub(super) fn http(&self) -> SocketAddr {
        self.http
    }

    /// The pipeline file.
    pub(super) fn pipeline(&self) -> PathBuf {
        self.path.join("pipeline.toml")
    }

    /// The tables the pipeline writes.
    pub(super) fn lake(&self) -> PathBuf {
        self.path.join("lake")
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn http_address() -> Result<SocketAddr, DemoError> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT));
    if TcpListener::bind(usual).is_ok() { Ok(usual) } else { Ok(free_address()?) }
}
