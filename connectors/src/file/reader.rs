//! The thread that reads.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;

use super::lines::{Line, Lines};
use super::rows::Rows;
use super::table::Table;
use super::{is_kind, open};
use crate::batch::{Batch, FileMark, Mark, Receipt};
use crate::config::{DEFAULT_MAX_PACKET_BYTES, FileSource};
use crate::decode::{Decoded, Decoder, Limits, Payload, RAW_BYTES_MAX};
use crate::source::{Context, SourceStatus};
use crate::task::Stop;

/// Bytes read at a time, and so in a batch.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes before a place by which a file is recognised.
const TAIL_BYTES: usize = 64;
/// How often a followed file is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// The thread.
pub(super) struct Reader {
    config: FileSource,
    context: Context,
    status: Arc<SourceStatus>,
    stop: Stop,
    runtime: Handle,
    decoder: Decoder,
    lines: Lines,
    /// Of a CSV file.
    table: Option<Table>,
    /// Bytes read of the file.
    byte: u64,
    /// Which file it is: its device and inode.
    file: (u64, u64),
    /// Where an earlier run had come to.
    resume: Option<FileMark>,
    chunk: Vec<u8>,
}

/// What became of an attempt to read.
enum Progress {
    /// There may be more.
    Read,
    /// The file ends here, for now.
    End,
    /// Nobody takes batches any more, or the file cannot be read.
    Over,
}

impl Reader {
    pub(super) fn new(
        config: FileSource,
        context: Context,
        status: Arc<SourceStatus>,
        stop: Stop,
    ) -> Self {
        let limits = Limits {
            payload_bytes_max: line_bytes_max(),
            max_ahead_ms: context.max_ahead_ms,
            timezone: context.timezone.clone(),
            period_ms: context.period_ms,
        };
        let names = Arc::clone(&context.names);
        let is_table = is_kind(&config, "csv");
        let resume = FileMark::among(&context.resume);
        let decoder = Decoder::new(config.carries, context.index, names, limits);
        Self {
            config,
            context,
            status,
            stop,
            runtime: Handle::current(),
            decoder,
            lines: Lines::new(line_bytes_max()),
            table: is_table.then(Table::default),
            byte: 0,
            file: (0, 0),
            resume,
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    pub(super) fn run(mut self, file: Option<File>) {
        let mut file = file;
        while !self.stop.is_given() && !self.context.out.is_closed() {
            let Some(opened) = file.take().or_else(|| self.wait_for_file()) else {
                continue;
            };
            self.status.up();
            if is_kind(&self.config, "parquet") && !self.config.follow {
                return self.read_rows(&opened);
            }
            let Some(begun) = self.begin(opened) else { continue };
            file = self.read_all(begun);
            if file.is_none() && !self.config.follow {
                return;
            }
        }
    }

    /// The file, once it is there.
    fn wait_for_file(&mut self) -> Option<File> {
        match open(&self.config) {
            Ok(file) => Some(file),
            Err(error) => {
                let problem = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
                self.status.down(problem);
                self.stop.pause(FOLLOW_EVERY);
                None
            }
        }
    }

    /// The file, read up to where an earlier run had come to if it is the same.
    fn begin(&mut self, mut file: File) -> Option<File> {
        let data = file.metadata().ok()?;
        self.file = (data.dev(), data.ino());
        (self.lines, self.byte) = (Lines::new(line_bytes_max()), 0);
        if let Some(mark) = self.resume.take()
            && mark.file == self.file
            && mark.byte <= data.len()
            && mark.tail == tail(&file, mark.byte)
        {
            if let Some(table) = &mut self.table {
                table.begin(&first_line(&file)?);
            }
            file.seek(SeekFrom::Start(mark.byte)).ok()?;
            (self.lines, self.byte) = (Lines::after(mark.line, line_bytes_max()), mark.byte);
        }
        Some(file)
    }

    /// Reads to the end, and on while it is followed; gives the file that has taken its place.
    fn read_all(&mut self, mut file: File) -> Option<File> {
        while !self.stop.is_given() {
            match self.read_chunk(&mut file) {
                Progress::Read => {}
                Progress::Over => return None,
                Progress::End if self.config.follow => {
                    if let Some(other) = self.replacement(&file) {
                        tracing::info!(source = self.context.name, "the file begins anew");
                        return Some(other);
                    }
                    self.stop.pause(FOLLOW_EVERY);
                }
                Progress::End => {
                    self.end(&file);
                    return None;
                }
            }
        }
        None
    }

    fn read_chunk(&mut self, file: &mut File) -> Progress {
        let mut chunk = std::mem::take(&mut self.chunk);
        let read = file.read(&mut chunk);
        let progress = match read {
            Ok(0) => Progress::End,
            Ok(count) => {
                self.byte += u64::try_from(count).unwrap_or(u64::MAX);
                let is_taken = self.hand_over(file, Some(&chunk[..count]));
                if is_taken { Progress::Read } else { Progress::Over }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Progress::Read,
            Err(error) => {
                self.cannot_read(&error.to_string());
                self.stop.pause(FOLLOW_EVERY);
                if self.config.follow { Progress::End } else { Progress::Over }
            }
        };
        self.chunk = chunk;
        progress
    }

    /// The end of a file that is not followed.
    fn end(&mut self, file: &File) {
        if self.hand_over(file, None) {
            self.status.ended.store(true, Ordering::Release);
        }
    }

    /// Decodes the lines of `chunk`, or the last one, and sends them; says whether to go on.
    fn hand_over(&mut self, file: &File, chunk: Option<&[u8]>) -> bool {
        let now_ms = (self.context.clock)();
        let mut decoded = Decoded::default();
        let (reader, table) = (&mut self.decoder, &mut self.table);
        let mut give = |line: Line<'_>| {
            if !line.bytes.iter().all(u8::is_ascii_whitespace) {
                let (bytes, size) = match table {
                    Some(table) if line.number == 1 => return table.begin(line.bytes),
                    // One that is too long is refused for that.
                    Some(table) if line.size == line.bytes.len() => {
                        let json = table.json(line.bytes);
                        (json, json.len())
                    }
                    _ => (line.bytes, line.size),
                };
                let payload = Payload { bytes, size, topic_meter: None, position: line.number };
                reader.decode(payload, now_ms, &mut decoded);
            }
        };
        match chunk {
            Some(chunk) => self.lines.take(chunk, &mut give),
            None => self.lines.finish(&mut give),
        }
        if decoded.received == 0 {
            return true;
        }
        self.status.heard(now_ms);
        self.status.read_bytes.store(self.byte, Ordering::Relaxed);
        let open = u64::try_from(self.lines.open_bytes()).unwrap_or(0);
        let byte = self.byte - open;
        let (line, tail) = (self.lines.count(), tail(file, byte));
        let mark = FileMark { file: self.file, line, byte, tail };
        self.send(decoded.into_batch(self.context.index, Receipt(Mark::File(mark))))
    }

    /// Reads the rows of a Parquet file, from where an earlier run had come to: it is the same if its end is.
    fn read_rows(&mut self, file: &File) {
        let Ok(data) = file.metadata() else { return };
        self.file = (data.dev(), data.ino());
        let tail = tail(file, data.len());
        let is_same = |mark: &FileMark| mark.file == self.file && mark.tail == tail;
        let skipped = self.resume.take().filter(is_same).map_or(0, |mark| mark.line);
        let opened = file.try_clone().map_err(|error| error.to_string());
        let opened = opened.and_then(|file| Rows::open(file, skipped).map_err(|e| e.to_string()));
        let mut rows = match opened {
            Ok(rows) => rows,
            Err(error) => return self.cannot_read(&error),
        };
        while !self.stop.is_given() {
            let now_ms = (self.context.clock)();
            let mut decoded = Decoded::default();
            let reader = &mut self.decoder;
            let read = rows.next(|position, json| {
                let payload =
                    Payload { bytes: json, size: json.len(), topic_meter: None, position };
                reader.decode(payload, now_ms, &mut decoded);
            });
            match read {
                Ok(true) => {}
                Ok(false) => return self.status.ended.store(true, Ordering::Release),
                Err(error) => return self.cannot_read(&error.to_string()),
            }
            let (line, total) = rows.progress();
            let done = u128::from(data.len()) * u128::from(line) / u128::from(total.max(1));
            self.status.heard(now_ms);
            self.status.read_bytes.store(u64::try_from(done).unwrap_or(0), Ordering::Relaxed);
            let mark = FileMark { file: self.file, line, byte: data.len(), tail };
            if !self.send(decoded.into_batch(self.context.index, Receipt(Mark::File(mark)))) {
                return;
            }
        }
    }

    fn cannot_read(&self, error: &str) {
        let problem = format!("cannot read `{}`: {error}", self.config.path.display());
        tracing::error!(source = self.context.name, problem);
        self.status.down(problem);
    }

    /// Sends a batch; says whether to go on.
    fn send(&mut self, batch: Batch) -> bool {
        let (out, stop) = (&self.context.out, &mut self.stop);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                sent = out.send(batch) => sent.is_ok(),
                () = stop.given() => false,
            }
        })
    }

    /// The file that has the name of `file` now, if that is another one, or it was cut.
    fn replacement(&self, file: &File) -> Option<File> {
        let is_same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        let (old, new) = (file.metadata().ok()?, std::fs::metadata(&self.config.path).ok()?);
        if is_same(&old, &new) && new.len() >= self.byte {
            return None;
        }
        open(&self.config).ok()
    }
}

/// The line that names the fields of a CSV file.
fn first_line(file: &File) -> Option<Vec<u8>> {
    let mut line = vec![0; RAW_BYTES_MAX];
    let read = file.read_at(&mut line, 0).ok()?;
    line.truncate(memchr::memchr(b'\n', &line[..read]).unwrap_or(read));
    Some(line)
}

/// What the bytes before `byte` are: FNV-1a of the last [`TAIL_BYTES`]. A file that was written anew in place
/// has others there.
fn tail(file: &File, byte: u64) -> u64 {
    let mut bytes = [0; TAIL_BYTES];
    let start = byte.saturating_sub(TAIL_BYTES as u64);
    let read = file.read_at(&mut bytes, start).unwrap_or(0);
    let count = usize::try_from(byte - start).unwrap_or(TAIL_BYTES).min(read);
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes[..count].iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// The longest line that is taken.
fn line_bytes_max() -> usize {
    usize::try_from(DEFAULT_MAX_PACKET_BYTES).unwrap_or(usize::MAX)
}
