//! The end of a demo, for somebody who sees Plumeline for the first time.

use std::fmt::Write as _;
use std::io::{self, Write};

use plumeline_fixtures::fleet::{COMPANIES, Fleet, What};
use plumeline_fixtures::text;

use super::folder::Folder;
use super::live::{grouped, tonnes};
use super::play::Played;
use super::{Snapshot, WINDOW};
use crate::verify::Verdict;

/// Words for each outcome, in the order they are listed.
const OUTCOMES: [(&str, &str); 5] = [
    ("booked", "booked"),
    ("duplicate", "duplicates: said what was known already"),
    ("parked", "parked: still waiting for a fact"),
    ("ignored", "ignored: null, nan, Online, empty"),
    ("rejected", "rejected: each is a row in `rejects` with its reason"),
];

/// What a demo has to say at its end.
pub(super) struct Summary<'demo> {
    pub(super) fleet: &'demo Fleet,
    pub(super) folder: &'demo Folder,
    pub(super) played: &'demo Played,
    /// The pipeline while it still ran: its windows are full.
    pub(super) last: &'demo Snapshot,
    /// The pipeline after it drained and committed.
    pub(super) end: &'demo Snapshot,
    /// The ledger against the batch reference.
    pub(super) verdict: &'demo Verdict,
}

impl Summary<'_> {
    /// Writes it. `program` is how the user called us.
    pub(super) fn write(&self, program: &str, out: &mut dyn Write) -> io::Result<()> {
        let mut text = String::new();
        let told = self
            .came_in(&mut text)
            .and_then(|()| self.became(&mut text))
            .and_then(|()| self.footprints(&mut text))
            .and_then(|()| self.restated(&mut text))
            .and_then(|()| self.further(program, &mut text));
        told.expect("a String takes any text");
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn came_in(&self, text: &mut String) -> std::fmt::Result {
        let hours = (self.played.until_ms - self.fleet.plan.start_ms) / text::HOUR_MS;
        let early = if self.played.interrupted { ", interrupted" } else { "" };
        writeln!(text, "\nWHAT CAME IN, in {hours} simulated hours{early}")?;
        for what in What::ALL {
            let Some(sent) = self.played.sent.get(&what) else {
                continue;
            };
            let count = if sent.elements == 0 { sent.messages } else { sent.elements };
            writeln!(text, "{:>12}  {}", grouped(count.into()), words(what))?;
        }
        Ok(())
    }

    fn became(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\nWHAT BECAME OF IT")?;
        for (name, words) in OUTCOMES {
            let count = self.end.outcomes.get(name).copied().unwrap_or_default();
            writeln!(text, "{:>12}  {words}", grouped(count.into()))?;
        }
        Ok(())
    }

    fn footprints(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\nFOOTPRINT, t CO2e, location-based, the last {WINDOW}")?;
        let columns = ["scope 1", "scope 2", "scope 3", "total"];
        let [one, two, three, total] = columns;
        writeln!(text, "{:18}{one:>12}{two:>12}{three:>12}{total:>12}", "")?;
        for (node, name, _) in COMPANIES {
            let of_scope = |scope: u8| -> i128 {
                let matching = self.last.footprints.iter().filter(|footprint| {
                    (footprint.node.as_str(), footprint.scope) == (node, scope)
                        && footprint.window == WINDOW
                });
                matching.map(|footprint| footprint.grams).sum()
            };
            write!(text, "  {name:16}")?;
            for scope in 1..=3 {
                write!(text, "{:>12}", tonnes(of_scope(scope), 3))?;
            }
            writeln!(text, "{:>12}", tonnes((1..=3).map(of_scope).sum(), 3))?;
        }
        Ok(())
    }

    fn restated(&self, text: &mut String) -> std::fmt::Result {
        let Some((before, after)) = &self.played.revision else {
            return writeln!(text, "\nThe factors were not revised: the story ended before that.");
        };
        writeln!(text, "\nWHAT THE REVISED FACTORS RESTATED, t CO2e")?;
        for (node, name, _) in COMPANIES {
            let was = before.total_grams(node).unwrap_or_default();
            let is = after.total_grams(node).unwrap_or_default();
            let change = tonnes(is - was, 3);
            let (was, is) = (tonnes(was, 3), tonnes(is, 3));
            writeln!(text, "  {name:16}{was:>12}  is now{is:>12}, a change of {change}")?;
        }
        let entries = after.restatements.saturating_sub(before.restatements);
        writeln!(
            text,
            "  {} entries, each beside the one it corrects: the ledger still shows what was believed\n  \
             before. All restatements of this run, late readings and corrections included: {}.",
            grouped(entries.into()),
            grouped(self.end.restatements.into()),
        )
    }

    fn further(&self, program: &str, text: &mut String) -> std::fmt::Result {
        let pipeline = self.folder.pipeline();
        let (pipeline, lake) = (pipeline.display(), self.folder.lake());
        let committed = match self.end.committed_ms {
            Some(ms) => format!("complete up to {}", text::utc(ms)),
            None => "nothing was committed".to_owned(),
        };
        writeln!(text, "\nTHE TABLES are in {} ({committed}).", lake.display())?;
        writeln!(text, "\nPROOF\n  {}.", self.verdict)?;
        writeln!(text, "\nLOOK FURTHER")?;
        let http = self.folder.http();
        let rows = [
            (
                format!("{program} views {pipeline} > views.sql && duckdb -init views.sql"),
                "query the ledger",
            ),
            (format!("{program} verify {pipeline}"), "compute the ledger again and compare"),
            (
                format!("curl -s http://{http}/metrics | grep ^ghg_"),
                "live footprints, while a demo runs: try one with --for 1h",
            ),
            (format!("less {pipeline}"), "the pipeline that ran"),
        ];
        for (command, what) in rows {
            writeln!(text, "  {command}\n      {what}")?;
        }
        Ok(())
    }
}

fn words(what: What) -> &'static str {
    match what {
        What::Reading => "readings on time",
        What::Late => "readings that came hours late",
        What::Duplicate => "readings sent twice",
        What::Mistaken => "readings with a wrong value",
        What::Correction => "corrections of those",
        What::Withdrawal => "readings and activities taken back",
        What::Rollover => "register that ran over its last digit",
        What::Backlog => "readings a gateway kept during its outage",
        What::Unregistered => "readings of a meter nobody had registered",
        What::Registration => "row added to meters.csv, which registers it",
        What::Activity => "activities over Kafka: fuel, haulage, a refrigerant top-up",
        What::Factors => "emission factors over Kafka",
        What::Revision => "revised emission factors",
        What::Bad => "payloads nobody can book",
        What::Noise => "payloads that say nothing",
    }
}
