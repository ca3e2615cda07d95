//! Documents beside the tables, one a lock of a report: written once, never changed.
//!
//! ```text
//! <root>/reports/<company>/<period>-<number>.json
//! ```
//!
//! 1. A document is put **only if absent**, as a version of a log is: of two who lock the same report at once, one is
//!    refused. *Else the second would replace what the first has signed.*
//! 2. One whose answer was lost is read back: if it is what was to be written, it is written.
//! 3. Nothing of this program deletes here or overwrites: compaction, vacuum and the log's expiry look into the folders
//!    of tables alone, and no table is called `reports`.
//!
//! A company is called as it likes, and its folder by letters, digits and `-`, with every other byte as `!` and two hex
//! digits: a file system, a store and a shell take it as it is. Where a file system does not tell capital letters from
//! small ones, two companies may share a folder: documents say whose they are.

use std::fmt::Write;

use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::engine::Engine;
use super::error::LakeError;
use super::place::Place;

/// Their folder below the lake's root.
const FOLDER: &str = "reports";
const ENDING: &str = ".json";
/// Bytes that a folder's name may have: what file systems take.
const FOLDER_BYTES: usize = 255;

/// What a document is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportName {
    /// The company it is about, as it is called.
    pub company: String,
    /// The period, in digits, `-` and `_`: `2025`, `2025-04-01_2026-04-01`.
    pub period: String,
    /// Counts those of one company and period, from 1.
    pub number: u32,
}

impl ReportName {
    /// Relative path below the lake's root.
    #[must_use]
    pub fn relative(&self) -> String {
        let Self { company, period, number } = self;
        format!("{FOLDER}/{}/{period}-{number}{ENDING}", folder(company))
    }

    /// What a document in a company's folder is called; `None` for whatever else is there.
    fn parse(company: &str, file: &str) -> Option<Self> {
        let (period, number) = file.strip_suffix(ENDING)?.rsplit_once('-')?;
        let is_known = |c: char| c.is_ascii_digit() || c == '-' || c == '_';
        let is_period = !period.is_empty() && period.chars().all(is_known);
        let number = number.parse().ok().filter(|number| *number > 0)?;
        let name = Self { company: company.to_owned(), period: period.to_owned(), number };
        // Names that read alike are not ours if we would have written them otherwise.
        (is_period && name.relative().rsplit('/').next() == Some(file)).then_some(name)
    }
}

/// A company's folder: its name, with `!` and two hex digits for what may not be in a file's name.
fn folder(company: &str) -> String {
    let mut folder = String::new();
    for byte in company.bytes() {
        match byte {
            b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => folder.push(char::from(byte)),
            // Readers take a name that begins with one for hidden.
            b'_' | b'.' if !folder.is_empty() => folder.push(char::from(byte)),
            // Writing to a `String` cannot fail.
            other => write!(folder, "!{other:02x}").unwrap_or_default(),
        }
    }
    folder
}

/// The company of a folder; `None` if it is none of ours.
fn company(written: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), written.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'!' {
            let (hex, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    let company = String::from_utf8(bytes).ok()?;
    (!company.is_empty() && folder(&company) == written).then_some(company)
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Reports {
    engine: Engine,
}

impl Reports {
    /// Those of the lake at `url`, which need not be there.
    ///
    /// # Errors
    /// If it is no place for tables.
    pub fn open(url: &str) -> Result<Self, LakeError> {
        Ok(Self { engine: Engine::new(Place::open(url)?)? })
    }

    /// What there is, in order.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub fn list(&self) -> Result<Vec<ReportName>, LakeError> {
        let root = self.engine.place.path(FOLDER)?;
        let mut found = Vec::new();
        for folder in self.listed(&root)?.common_prefixes {
            let Some(company) = folder.filename().and_then(company) else { continue };
            for object in self.listed(&folder)?.objects {
                let file = object.location.filename();
                found.extend(file.and_then(|file| ReportName::parse(&company, file)));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn listed(&self, path: &Path) -> Result<object_store::ListResult, LakeError> {
        let listed = self.engine.place.store.list_with_delimiter(Some(path));
        let listed = self.engine.block_on(listed);
        listed.map_err(|error| LakeError::store(format!("list `{path}`"), error))
    }

    /// A document, as it was put.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, name: &ReportName) -> Result<Vec<u8>, LakeError> {
        let path = self.engine.place.path(&name.relative())?;
        let store = &self.engine.place.store;
        let read = self.engine.block_on(async { store.get(&path).await?.bytes().await });
        let bytes = read.map_err(|error| LakeError::store(format!("read `{path}`"), error))?;
        Ok(bytes.to_vec())
    }

    /// Puts a document; `false` if another one has its name.
    ///
    /// # Errors
    /// If it cannot be put, or the company's name is too long for a folder's.
    pub fn put(&self, name: &ReportName, bytes: &[u8]) -> Result<bool, LakeError> {
        let place = &self.engine.place;
        let folder = folder(&name.company);
        if folder.len() > FOLDER_BYTES {
            let reason = format!("a folder's name has at most {FOLDER_BYTES} bytes");
            return Err(LakeError::Location { url: folder, reason });
        }
        place.prepare_folder(&format!("{FOLDER}/{folder}/"))?;
        let path = place.path(&name.relative())?;
        let options = PutOptions::from(PutMode::Create);
        let payload = PutPayload::from(bytes.to_vec());
        match self.engine.block_on(place.store.put_opts(&path, payload, options)) {
            Ok(_) => Ok(true),
            // A first try may have been ours.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                Ok(self.read(name)? == bytes)
            }
            Err(error) => Err(LakeError::store(format!("write `{path}`"), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(company: &str, period: &str, number: u32) -> ReportName {
        ReportName { company: company.into(), period: period.into(), number }
    }

    #[test]
    fn any_company_has_a_folder_of_its_own() {
        for (called, written) in [
            ("acme", "acme"),
            ("Acme-UK_2", "Acme-UK_2"),
            ("acme.co", "acme.co"),
            ("_x", "!5fx"),
            ("..", "!2e."),
            ("a/b c", "a!2fb!20c"),
            ("100%!", "100!25!21"),
            ("Müller", "M!c3!bcller"),
        ] {
            assert_eq!(folder(called), written);
            assert_eq!(company(written).as_deref(), Some(called));
        }
        for strange in ["", "a b", "!zz", "!6", "!61cme", "!ff", "_x", ".hidden"] {
            assert_eq!(company(strange), None, "{strange}");
        }
    }

    #[test]
    fn names_of_documents_are_read_back_and_others_are_left_alone() {
        for name in [name("a/b", "2025", 1), name("acme", "2025-04-01_2026-04-01", 12)] {
            let relative = name.relative();
            let file = relative.rsplit('/').next().unwrap();
            assert_eq!(ReportName::parse(&name.company, file), Some(name.clone()), "{relative}");
        }
        for strange in ["2025.json", "2025-0.json", "2025-01.json", "x-1.json", "2025-1.json#1"] {
            assert_eq!(ReportName::parse("acme", strange), None, "{strange}");
        }
    }

    #[test]
    fn a_document_is_put_once_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let reports = Reports::open(folder.path().join("a lake").to_str().unwrap()).unwrap();
        assert_eq!(reports.list().unwrap(), [], "nothing is there yet");
        let (first, second) = (name("Müller & Söhne", "2025", 1), name("acme", "2024", 2));
        assert!(reports.put(&first, b"one").unwrap());
        assert!(reports.put(&first, b"one").unwrap(), "its answer was lost");
        assert!(!reports.put(&first, b"two").unwrap());
        assert!(reports.put(&second, b"three").unwrap());
        assert_eq!(reports.read(&first).unwrap(), b"one");
        assert_eq!(reports.list().unwrap(), [first, second]);
        let long = name(&"ü".repeat(50), "2025", 1);
        assert!(reports.put(&long, b"").is_err());
    }
}
