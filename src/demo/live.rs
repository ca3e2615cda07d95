//! The line a second, and the story beside it.
//!
//! On a terminal the line is rewritten in place, and sentences of the story scroll above it; elsewhere
//! (a file, CI) each is a plain line.

use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

use plumeline_fixtures::fleet::COMPANIES;
use plumeline_fixtures::text;

use super::Snapshot;

/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;
/// Goes to the first column and clears the line.
const REWIND: &str = "\r\x1b[2K";

/// Writes the line.
#[derive(Debug)]
pub(super) struct Live {
    /// Columns of the terminal the line is rewritten on; `None` where each is a line of its own.
    columns: Option<usize>,
    start_ms: i64,
    line: String,
}

impl Live {
    /// For a story that began at `start_ms`, on standard output.
    pub(super) fn new(start_ms: i64) -> Self {
        let columns = io::stdout().is_terminal().then(terminal_columns);
        Self { columns, start_ms, line: String::new() }
    }

    /// Shows how the pipeline does at the simulated instant `now_ms`.
    pub(super) fn show(
        &mut self,
        now_ms: i64,
        readings_per_second: u64,
        snapshot: &Snapshot,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let companies: Vec<String> = COMPANIES
            .iter()
            .map(|(node, _, _)| match snapshot.total_grams(node) {
                Some(grams) => format!("{node} {} t", tonnes(grams, 2)),
                None => format!("{node} -"),
            })
            .collect();
        self.line = format!(
            "{} | {}/s, lag {} ms | {} | {} restated",
            self.time(now_ms),
            grouped(i128::from(readings_per_second)),
            snapshot.tick_lag_ms,
            companies.join(", "),
            grouped(i128::from(snapshot.restatements)),
        );
        match self.columns {
            Some(columns) => {
                // A line that wraps could not be rewritten. It is ASCII: every byte is a column.
                self.line.truncate(columns - 1);
                write!(out, "{REWIND}{}", self.line)?;
            }
            None => writeln!(out, "{}", self.line)?,
        }
        out.flush()
    }

    /// Tells a sentence of the story.
    pub(super) fn tell(&self, at_ms: i64, sentence: &str, out: &mut dyn Write) -> io::Result<()> {
        let (rewind, again) =
            if self.columns.is_some() { (REWIND, self.line.as_str()) } else { ("", "") };
        write!(out, "{rewind}{}   {sentence}\n{again}", self.time(at_ms))?;
        out.flush()
    }

    /// `day 1 06:15` since the story began.
    fn time(&self, now_ms: i64) -> String {
        let day = (now_ms - self.start_ms).max(0) / text::DAY_MS + 1;
        format!("day {day} {}", &text::civil(now_ms)[11..16])
    }
}

/// The terminal's width, as `stty` tells it: the standard library does not.
fn terminal_columns() -> usize {
    let told = Command::new("stty").arg("size").stdin(Stdio::inherit()).output();
    let text = told.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let columns = text.split_whitespace().nth(1).and_then(|columns| columns.parse().ok());
    columns.filter(|&columns| columns > 1).unwrap_or(COLUMNS)
}

/// Tonnes with `decimals` (at most 6), rounded down, from grams.
pub(super) fn tonnes(grams: i128, decimals: u32) -> String {
    let shown = grams.div_euclid(10_i128.pow(6 - decimals));
    let scale = 10_i128.pow(decimals);
    let sign = if shown < 0 { "-" } else { "" };
    let (whole, fraction) = (shown.abs() / scale, shown.abs() % scale);
    let width = usize::try_from(decimals).expect("at most 6");
    format!("{sign}{}.{fraction:0width$}", grouped(whole))
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
