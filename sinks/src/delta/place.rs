//! Where the lake is, and what every object in it is called.
//!
//! ```text
//! <root>/_latest.json
//! <root>/<table>/_delta_log/<version:020>.json
//! <root>/<table>/recorded_date=<date>/<table>-<cut:020>-<part:03>-<sequence:03>.parquet
//! <root>/<table>/recorded_date=<date>/<table>-<first cut:020>-<last cut:020>-<sequence:03>.parquet
//! ```
//!
//! The last two are files of a cut, as it was committed, and files merged of several cuts of a day. No cut has 20
//! digits before the year 10000, so the zeros in front tell them apart.
//!
//! No other file formats a name of an object of a table; those of locked reports are in `reports.rs`.

use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, path};

use jiff::civil::Date;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};
use plumeline_pipelines::model::Tick;
use url::Url;

use super::error::LakeError;
use super::table::{PARTITION, TableName};

/// How long the S3 client itself tries again before an error reaches the caller, who shows it in
/// `/readyz` and tries again without end. Short, so that trouble is seen; long enough for one 503.
const STORE_RETRY: Duration = Duration::from_secs(20);

/// A lake's location: a store and the root inside it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The store; for a local lake its root is the file system's.
    pub(super) store: Arc<dyn ObjectStore>,
    /// The root as a URL with a trailing slash.
    pub(super) root: Url,
}

impl Place {
    /// Opens the store behind `url`: an absolute path, `file://` or `s3://bucket/prefix`. Region,
    /// endpoint and credentials come from the usual environment.
    pub(super) fn open(url: &str) -> Result<Self, LakeError> {
        let location = |reason: String| LakeError::Location { url: url.into(), reason };
        let root = if path::Path::new(url).is_absolute() {
            Url::from_directory_path(url).map_err(|()| location("not a usable path".into()))?
        } else {
            let slash = if url.ends_with('/') { "" } else { "/" };
            Url::parse(&format!("{url}{slash}")).map_err(|error| location(error.to_string()))?
        };
        let store: Arc<dyn ObjectStore> = match root.scheme() {
            "file" => Arc::new(LocalFileSystem::new().with_fsync(true)),
            "s3" => {
                let bucket = root.host_str().ok_or_else(|| location("no bucket".into()))?;
                let retry = RetryConfig { retry_timeout: STORE_RETRY, ..RetryConfig::default() };
                let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
                Arc::new(
                    builder
                        .with_retry(retry)
                        .build()
                        .map_err(|error| LakeError::store(format!("use `{url}`"), error))?,
                )
            }
            other => return Err(location(format!("`{other}` is neither `file` nor `s3`"))),
        };
        Ok(Self { store, root })
    }

    /// The path of `relative` (not escaped) below the root, as the store knows it.
    pub(super) fn path(&self, relative: &str) -> Result<Path, LakeError> {
        let url = self.url(relative);
        Path::from_url_path(url.path()).map_err(|error| LakeError::Location {
            url: url.to_string(),
            reason: error.to_string(),
        })
    }

    /// The URL of `relative` below the root.
    pub(super) fn url(&self, relative: &str) -> Url {
        let mut url = self.root.clone();
        url.set_path(&format!("{}{relative}", self.root.path()));
        url
    }

    /// The URL of a table's root, with a trailing slash.
    pub(super) fn table(&self, table: TableName) -> Url {
        self.url(&format!("{table}/"))
    }

    /// Makes a table's folder where the store has folders: the kernel wants to find one.
    pub(super) fn prepare(&self, table: TableName) -> Result<(), LakeError> {
        self.prepare_folder(&format!("{table}/"))
    }

    /// Makes the folder at `relative`, with a trailing slash, where the store has folders.
    pub(super) fn prepare_folder(&self, relative: &str) -> Result<(), LakeError> {
        let url = self.url(relative);
        let Ok(folder) = url.to_file_path() else {
            return Ok(());
        };
        make_durable_folder(&folder).map_err(|source| LakeError::Location {
            url: folder.to_string_lossy().into_owned(),
            reason: source.to_string(),
        })
    }

    /// How a reader outside of this program names the object at the URL-escaped path `relative` of
    /// `table`: a path of the file system, or a URL.
    pub(super) fn reader_path(&self, table: TableName, relative: &str) -> String {
        let url = self.url(&format!("{table}/{relative}"));
        match url.scheme() {
            "file" => url
                .to_file_path()
                .map_or_else(|()| url.to_string(), |path| path.to_string_lossy().into_owned()),
            _ => url.to_string(),
        }
    }
}

/// Makes a folder and its ancestors, so that a power cut cannot take them away again.
fn make_durable_folder(folder: &path::Path) -> io::Result<()> {
    let missing: Vec<_> = folder.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    fs::create_dir_all(folder)?;
    // A new folder is an entry of its parent: that is what must reach the disk.
    for parent in missing.into_iter().filter_map(path::Path::parent) {
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Relative path of the file that names the newest committed versions.
pub(super) const LATEST: &str = "_latest.json";

/// Relative path of the entry that `version` has in a table's log.
pub(super) fn log_entry(table: TableName, version: u64) -> String {
    format!("{table}/_delta_log/{version:020}.json")
}

/// Relative path of a checkpoint of a table's log.
pub(super) fn checkpoint(table: TableName, version: u64) -> String {
    format!("{table}/_delta_log/{version:020}.checkpoint.parquet")
}

/// Relative path of the folder of a table's log.
pub(super) fn log_folder(table: TableName) -> String {
    format!("{table}/_delta_log")
}

/// What a file of a table's log is, by its name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum LogFile {
    /// The entry of a version.
    Entry(u64),
    /// The checkpoint of a version, in one piece.
    Checkpoint(u64),
}

impl LogFile {
    /// The version it is of.
    pub(super) fn version(self) -> u64 {
        match self {
            Self::Entry(version) | Self::Checkpoint(version) => version,
        }
    }

    /// `None` for whatever else is in the folder.
    pub(super) fn parse(file: &str) -> Option<Self> {
        let (digits, kind) = file.split_once('.')?;
        let version = digits.parse().ok().filter(|_| digits.len() == 20)?;
        match kind {
            "json" => Some(Self::Entry(version)),
            "checkpoint.parquet" => Some(Self::Checkpoint(version)),
            _ => None,
        }
    }
}

/// Relative path of the hint that names a table's newest checkpoint.
pub(super) fn last_checkpoint(table: TableName) -> String {
    format!("{table}/_delta_log/_last_checkpoint")
}

/// A data file's name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct DataFileName {
    pub(super) table: TableName,
    pub(super) cut: Tick,
    pub(super) part: usize,
    /// Counts the files of a (table, part, cut): most have one. A name that is taken, by a writer that
    /// died before its commit, is never overwritten but counted past.
    pub(super) sequence: usize,
}

impl DataFileName {
    /// What the name of a file of `table` says, whatever its folder; `None` if it is not one of ours.
    pub(super) fn parse(table: TableName, path: &str) -> Option<Self> {
        let file = path.rsplit('/').next()?;
        let rest = file.strip_prefix(table.name())?.strip_prefix('-')?.strip_suffix(".parquet")?;
        let mut numbers = rest.split('-');
        let mut next = || numbers.next()?.parse::<u64>().ok();
        let (cut, part, sequence) = (next()?, next()?, next()?);
        let [part, sequence] = [part, sequence].map(|number| usize::try_from(number).ok());
        let name = Self { table, cut: in_calendar(cut)?, part: part?, sequence: sequence? };
        // Names that read alike are not ours if we would have written them otherwise.
        (name.file() == file).then_some(name)
    }

    /// Relative path below the lake's root.
    pub(super) fn relative(self) -> String {
        format!("{}/{}", self.table, self.below_table())
    }

    /// Relative path below the table's root, as its log has it.
    pub(super) fn below_table(self) -> String {
        format!("{}/{}", partition(recorded_date(self.cut)), self.file())
    }

    /// The name without its folder.
    pub(super) fn file(self) -> String {
        let Self { table, cut, part, sequence } = self;
        format!("{table}-{:020}-{part:03}-{sequence:03}.parquet", cut.0)
    }
}

/// The name of a file that was merged of several.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct MergedFileName {
    pub(super) table: TableName,
    /// No row of it is of an earlier cut.
    pub(super) first: Tick,
    /// No row of it is of a later cut; of the same UTC day as the first.
    pub(super) last: Tick,
    /// Counts past names that are taken, as [`DataFileName::sequence`] does.
    pub(super) sequence: usize,
}

impl MergedFileName {
    fn parse(table: TableName, path: &str) -> Option<Self> {
        let file = path.rsplit('/').next()?;
        let rest = file.strip_prefix(table.name())?.strip_prefix('-')?.strip_suffix(".parquet")?;
        let mut numbers = rest.split('-');
        let mut next = || numbers.next()?.parse::<u64>().ok();
        let (first, last, sequence) = (next()?, next()?, next()?);
        let sequence = usize::try_from(sequence).ok()?;
        let name = Self { table, first: in_calendar(first)?, last: in_calendar(last)?, sequence };
        let is_ours = name.file() == file && recorded_date(name.first) == recorded_date(name.last);
        (is_ours && name.first <= name.last).then_some(name)
    }

    /// Relative path below the lake's root.
    pub(super) fn relative(self) -> String {
        format!("{}/{}", self.table, self.below_table())
    }

    /// Relative path below the table's root, as its log has it.
    pub(super) fn below_table(self) -> String {
        format!("{}/{}", partition(recorded_date(self.first)), self.file())
    }

    /// The name without its folder.
    pub(super) fn file(self) -> String {
        let Self { table, first, last, sequence } = self;
        format!("{table}-{:020}-{:020}-{sequence:03}.parquet", first.0, last.0)
    }
}

/// The name of any file of ours.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum FileName {
    /// As a cut was committed.
    Cut(DataFileName),
    /// Merged of several.
    Merged(MergedFileName),
}

impl FileName {
    /// What the name of a file of `table` says, whatever its folder; `None` if it is not one of ours.
    pub(super) fn parse(table: TableName, path: &str) -> Option<Self> {
        let merged = || MergedFileName::parse(table, path).map(Self::Merged);
        DataFileName::parse(table, path).map(Self::Cut).or_else(merged)
    }

    /// No row of the file is of an earlier cut.
    pub(super) fn first(self) -> Tick {
        match self {
            Self::Cut(name) => name.cut,
            Self::Merged(name) => name.first,
        }
    }

    /// No row of the file is of a later cut.
    pub(super) fn last(self) -> Tick {
        match self {
            Self::Cut(name) => name.cut,
            Self::Merged(name) => name.last,
        }
    }

    /// Relative path below the lake's root.
    pub(super) fn relative(self) -> String {
        match self {
            Self::Cut(name) => name.relative(),
            Self::Merged(name) => name.relative(),
        }
    }

    /// The name without its folder.
    pub(super) fn file(self) -> String {
        match self {
            Self::Cut(name) => name.file(),
            Self::Merged(name) => name.file(),
        }
    }
}

/// A cut of a name, which anybody may have given; `None` if no clock ever says so.
fn in_calendar(cut: u64) -> Option<Tick> {
    let tick = Tick(cut);
    jiff::Timestamp::from_millisecond(tick.ms()).is_ok().then_some(tick)
}

/// A day's folder, below the table's root.
pub(super) fn partition(date: Date) -> String {
    format!("{PARTITION}={date}")
}

/// The day whose folder it is; `None` if it is no such folder.
pub(super) fn date_of_partition(folder: &str) -> Option<Date> {
    folder.strip_prefix(PARTITION)?.strip_prefix('=')?.parse().ok()
}

/// The start of the UTC day, ms, in whose folder the file at `path` lies, below the table's root.
pub(super) fn folder_day_ms(path: &str) -> Option<i64> {
    let date = path.split('/').find_map(date_of_partition)?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// The UTC date of a cut.
///
/// # Panics
/// If the cut is past the year 9999: ticks come from a clock.
pub(super) fn recorded_date(cut: Tick) -> Date {
    jiff::Timestamp::from_millisecond(cut.ms())
        .expect("a tick is an instant a calendar knows")
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumeline_pipelines::model::Cause;

    #[test]
    fn names_sort_by_cut() {
        let cut = Tick::new(1_767_225_600_000, Cause::Cut);
        let name = DataFileName { table: TableName::Activity, cut, part: 1, sequence: 0 };
        assert_eq!(
            name.relative(),
            "activity/recorded_date=2026-01-01/activity-00000014137804800007-001-000.parquet"
        );
        assert_eq!(folder_day_ms(&name.below_table()), Some(cut.ms()));
        assert_eq!(DataFileName::parse(TableName::Activity, &name.relative()), Some(name));
        let day = name.below_table();
        let (folder, file) = day.split_once('/').expect("a folder");
        assert_eq!(date_of_partition(folder), Some(recorded_date(cut)));
        let table = TableName::Activity;
        for strange in [
            "x/part-00000-c000.parquet",
            "activity-00000014137804800007-001.parquet",
            "activity-00000014137804800007-001-000-1.parquet",
            "activity-14137804800007-1-0.parquet",
            "activity-18446744073709551615-001-000.parquet",
            &file.replace(".parquet", ".crc"),
        ] {
            assert_eq!(DataFileName::parse(table, strange), None, "{strange}");
        }
    }

    #[test]
    fn merged_files_and_files_of_a_cut_are_told_apart() {
        let table = TableName::Activity;
        let first = Tick::new(1_767_225_600_000, Cause::Cut);
        let last = Tick::new(1_767_229_200_000, Cause::Cut);
        let merged = MergedFileName { table, first, last, sequence: 2 };
        let cut = DataFileName { table, cut: first, part: 1, sequence: 0 };
        assert_eq!(
            FileName::parse(table, &merged.relative()),
            Some(FileName::Merged(merged)),
            "{}",
            merged.file()
        );
        assert_eq!(FileName::parse(table, &cut.relative()), Some(FileName::Cut(cut)));
        let name = FileName::Merged(merged);
        assert_eq!((name.first(), name.last()), (first, last));
        // Of two days, or the wrong way round: nobody merges so.
        let tomorrow = Tick::new(first.ms() + 86_400_000, Cause::Cut);
        for strange in [
            MergedFileName { last: tomorrow, ..merged },
            MergedFileName { first: last, last: first, ..merged },
        ] {
            assert_eq!(FileName::parse(table, &strange.file()), None, "{}", strange.file());
        }
    }

    #[test]
    fn files_of_a_log_are_told_apart() {
        let entry = log_entry(TableName::Nodes, 7);
        let file = |path: &str| path.rsplit('/').next().and_then(LogFile::parse);
        assert_eq!(file(&entry), Some(LogFile::Entry(7)));
        assert_eq!(file(&checkpoint(TableName::Nodes, 100)), Some(LogFile::Checkpoint(100)));
        for other in ["_last_checkpoint", "7.json", "00000000000000000007.crc"] {
            assert_eq!(LogFile::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_path_with_spaces_survives() {
        let place = Place::open("/tmp/a lake").expect("an absolute path");
        assert_eq!(place.root.as_str(), "file:///tmp/a%20lake/");
        assert_eq!(place.path("x/y=1").expect("a path").as_ref(), "tmp/a lake/x/y=1");
        assert_eq!(place.reader_path(TableName::Nodes, "y=1/a"), "/tmp/a lake/nodes/y=1/a");
    }

    #[test]
    fn other_places_are_refused() {
        for url in ["lake", "ftp://host/lake", "https://host/lake"] {
            assert!(Place::open(url).is_err(), "{url}");
        }
    }
}
