//! A file of JSON lines through the whole program into the ledger and the metrics.
//!
//! `cargo bench --bench ledger`; LINES (2,000,000), METERS (10,000), WORKERS (2), `EVERY_S` (60), SINK (`ledger`,
//! `readings`: the ledger with its table `readings`, `none`) from the environment. The stamps end two hours
//! ago, so that every period settles as it is read.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use plumeline::runtime::{Clock, WallClock};
use plumeline_fixtures::load::Load;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the bench's folder can be written");
}

fn status(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with(field)).unwrap_or_default().to_owned()
}

fn size(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Rows and bytes of each table below `lake`, as its log tells them.
fn tables(lake: &Path) -> Vec<(String, u64, u64)> {
    let Ok(folders) = std::fs::read_dir(lake) else { return Vec::new() };
    let mut tables: Vec<_> = folders
        .flatten()
        .map(|table| {
            let log = table.path().join("_delta_log");
            let commits = std::fs::read_dir(&log).into_iter().flatten().flatten();
            let texts = commits
                .filter(|file| file.path().extension().is_some_and(|e| e == "json"))
                .map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
            let rows = texts.map(|text| rows_added(&text)).sum();
            (
                table.file_name().to_string_lossy().into_owned(),
                rows,
                size(&table.path()) - size(&log),
            )
        })
        .collect();
    tables.sort();
    tables
}

/// The sum of `numRecords` in the statistics of the files that a commit adds.
fn rows_added(commit: &str) -> u64 {
    let after = commit.split("numRecords\\\":").skip(1);
    let digits = after.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    digits.flatten().filter_map(|digits| digits.parse::<u64>().ok()).sum()
}

fn main() {
    let (lines, meters) = (setting("LINES", 2_000_000), setting("METERS", 10_000));
    let every_ms = i64::try_from(setting("EVERY_S", 60)).expect("seconds") * 1000;
    let rounds = i64::try_from(lines / meters).expect("a count");
    let end_ms = WallClock.now_ms() / 900_000 * 900_000 - 2 * 3_600_000;
    let load = Load {
        seed: 7,
        start_ms: end_ms - rounds * every_ms,
        meters,
        sites: 250,
        factors: 100,
        every_ms,
    };
    let folder = tempfile::tempdir().expect("a folder for the bench");
    let dir = folder.path();
    write(&dir.join("meters.csv"), &load.meters_csv());
    write(&dir.join("factors.csv"), &load.factors_csv(None));
    write(&dir.join("nodes.csv"), &load.nodes_csv());
    let readings = std::fs::File::create(dir.join("readings.jsonl")).expect("a file");
    let mut readings = BufWriter::new(readings);
    load.write_readings(lines, &mut readings).expect("the disk has room");
    readings.flush().expect("the disk has room");
    let sink = std::env::var("SINK").unwrap_or_else(|_| "ledger".to_owned());
    let delta = match sink.as_str() {
        "none" => String::new(),
        "readings" => "[[sink]]\ntype = \"delta\"\nurl = \"lake\"\nreadings = \"all\"\n".to_owned(),
        _ => "[[sink]]\ntype = \"delta\"\nurl = \"lake\"\nreadings = \"none\"\n".to_owned(),
    };
    let workers = setting("WORKERS", 2);
    write(
        &dir.join("pipeline.toml"),
        &format!(
            "name = \"bench\"\nworkers = {workers}\n[http]\nlisten = \"127.0.0.1:0\"\n[tables]\n\
             meters = \"meters.csv\"\nfactors = \"factors.csv\"\nnodes = \"nodes.csv\"\n\
             [[source]]\nname = \"history\"\ntype = \"file\"\npath = \"readings.jsonl\"\n{delta}\
             [[sink]]\ntype = \"prometheus\"\n"
        ),
    );
    let pipeline = plumeline::config::load(&dir.join("pipeline.toml"), &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads");
    #[expect(clippy::disallowed_methods, reason = "a bench measures")]
    let start = Instant::now();
    let running = tokio
        .block_on(plumeline::runtime::start(pipeline, Arc::new(WallClock)))
        .expect("the pipeline starts");
    let progress = running.join().expect("the pipeline ends well");
    let seconds = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = lines as f64 / seconds / 1e6;
    let lake_mb = size(&dir.join("lake")) / 1_048_576;
    writeln!(
        std::io::stdout(),
        "{sink}: {lines} lines in {seconds:.2} s, {rate:.2} M/s, lake {lake_mb} MB, {}, outcomes {:?}",
        status("VmHWM"),
        progress.outcomes
    )
    .expect("standard output is open");
    for (table, rows, bytes) in tables(&dir.join("lake")) {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let a_row = bytes as f64 / rows.max(1) as f64;
        writeln!(std::io::stdout(), "  {table}: {rows} rows, {bytes} bytes, {a_row:.1} a row")
            .expect("standard output is open");
    }
}
