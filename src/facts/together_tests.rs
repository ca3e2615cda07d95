//! Tests of rows that are one fact, as messages of a topic and as lines of a file tell them.

use std::path::Path;
use std::sync::Arc;

use plumeline_connectors::config::Carries;
use plumeline_connectors::decode::{Decoded, Decoder, Limits, Payload};
use plumeline_pipelines::model::Names;

use super::super::{Table, Terms, read_bytes};
use super::*;

const PIPELINE: &str = "name = \"a\"\n\
    [[source]]\nname = \"k\"\ntype = \"file\"\npath = \"f.jsonl\"\ncarries = \"factors\"\n\
    [[source]]\nname = \"s\"\ntype = \"file\"\npath = \"s.jsonl\"\ncarries = \"series\"\n\
    [[sink]]\ntype = \"prometheus\"\n";

struct Bench {
    store: FactStore,
}

impl Bench {
    fn new() -> Self {
        let pipeline = crate::config::parse(Path::new("p.toml"), PIPELINE, &|_| None).unwrap();
        Self { store: FactStore::new(&pipeline, Arc::new(Names::new())) }
    }

    /// What a message of the topic of `carries` does: rows that come, less those that go.
    fn say(&mut self, carries: Carries, message: &str) -> Result<[usize; 2], String> {
        let limits = Limits {
            payload_bytes_max: 1 << 20,
            max_ahead_ms: 0,
            timezone: jiff::tz::TimeZone::UTC,
            period_ms: 900_000,
        };
        let mut decoder = Decoder::new(carries, 0, self.store.names(), limits);
        let mut told = Decoded::default();
        let bytes = message.as_bytes();
        let payload = Payload { bytes, size: bytes.len(), topic_meter: None, position: 0 };
        decoder.decode(payload, 0, &mut told);
        assert_eq!((told.rejects.len(), told.facts.len()), (0, 1), "{:?}", told.rejects);
        let source = u16::from(carries == Carries::Series);
        let changes = self.store.apply_together(source, &told.facts[0]);
        let changes = changes.map_err(|problem| problem.to_string())?;
        let gone = changes.iter().filter(|change| change.withdrawn).count();
        Ok([changes.len() - gone, gone])
    }

    fn leak(&mut self, gas: &str, rest: &str) -> Result<[usize; 2], String> {
        let row = format!(
            "{{\"factor\":\"leaks\",\"scope\":1,\"gas\":\"{gas}\",\"kg_per_unit\":1,\"unit\":\"kg\"{rest}}}"
        );
        self.say(Carries::Factors, &row)
    }

    /// Revision, gas and kg of all rows.
    fn held(&self) -> Vec<String> {
        let rows = self.store.books().factors.values().flatten().map(|held| &held.row);
        let shown =
            |row: &FactorRow| format!("{} {} {}", row.revision, row.gas.name(), row.kg_per_unit);
        let mut rows: Vec<String> = rows.map(shown).collect();
        rows.sort();
        rows
    }
}

const HALF: [&str; 2] = ["1 hfc-125 0.5", "1 hfc-32 0.5"];

#[test]
fn a_blend_is_said_corrected_and_taken_back_as_one() {
    let mut bench = Bench::new();
    assert_eq!(bench.leak("r-410a", ",\"revision\":1"), Ok([2, 0]));
    assert_eq!(bench.held(), HALF);
    assert_eq!(
        bench.leak("0.5 hfc-125 + 0.5 hfc-32", ",\"revision\":1"),
        Ok([0, 0]),
        "it is there"
    );
    assert_eq!(bench.leak("R-407C", ",\"revision\":2"), Ok([3, 0]));
    assert_eq!(bench.held().len(), 5);
    assert_eq!(bench.leak("R-407C", ",\"revision\":2,\"withdrawn\":true"), Ok([0, 3]));
    assert_eq!(bench.held(), HALF, "what it corrected holds again");
    assert_eq!(bench.leak("R-410A", ",\"revision\":1,\"withdrawn\":true"), Ok([0, 2]));
    assert_eq!(bench.held(), [""; 0]);
}

#[test]
fn a_blend_that_contradicts_another_is_refused_whole() {
    let mut bench = Bench::new();
    bench.leak("r-410a", ",\"revision\":1").unwrap();
    // hfc-134a is new, and would be the only one that is let in.
    let refused = bench.leak("r-407c", ",\"revision\":1").unwrap_err();
    assert!(refused.contains("with equal revision 1"), "{refused}");
    assert_eq!(bench.held(), HALF);
    // The hfc-32 is that of the other.
    let refused = bench.leak("0.5 hfc-32 + 0.5 hfc-134a", ",\"revision\":1").unwrap_err();
    assert!(
        refused.contains("has the hfc-32 of this blend already, beside other gases"),
        "{refused}"
    );
    assert!(refused.contains("give the blend a higher revision"), "{refused}");
    assert_eq!(bench.held(), HALF);
    let mut other = Bench::new();
    other.leak("hfc-134a", "").unwrap();
    other.leak("r-407c", "").unwrap_err();
    assert_eq!(other.held(), ["0 hfc-134a 1"]);
}

#[test]
fn a_blend_of_a_rolling_series_follows_on_as_one() {
    let mut bench = Bench::new();
    bench.say(Carries::Series, "{\"factor\":\"leaks\",\"series\":\"rolling\"}").unwrap();
    assert_eq!(bench.leak("r-410a", ""), Ok([2, 0]));
    assert_eq!(bench.leak("r-410a", ""), Ok([0, 0]), "said again");
    // One of its gases is the same, and still it is another blend.
    assert_eq!(bench.leak("0.5 hfc-32 + 0.5 hfc-134a", ""), Ok([2, 0]));
    let held = ["0 hfc-125 0.5", "0 hfc-32 0.5", "1 hfc-134a 0.5", "1 hfc-32 0.5"];
    assert_eq!(bench.held(), held);
    assert_eq!(bench.leak("r-410a", ""), Ok([2, 0]), "back to what it was: a new revision");
    assert_eq!(bench.leak("0.5 hfc-32 + 0.5 hfc-134a", ",\"withdrawn\":true"), Ok([0, 2]));
    let left = ["0 hfc-125 0.5", "0 hfc-32 0.5", "2 hfc-125 0.5", "2 hfc-32 0.5"];
    assert_eq!(bench.held(), left);
}

#[test]
fn a_locked_series_keeps_its_blend() {
    let mut bench = Bench::new();
    bench.say(Carries::Series, "{\"factor\":\"leaks\",\"series\":\"locked\"}").unwrap();
    bench.leak("r-410a", ",\"revision\":1").unwrap();
    let refused = bench.leak("r-407c", ",\"revision\":2").unwrap_err();
    assert!(refused.contains("is of a locked series"), "{refused}");
    assert_eq!(bench.held(), HALF);
    assert_eq!(bench.leak("r-407c", ",\"revision\":2,\"change\":\"error\""), Ok([3, 0]));
}

/// What is wrong with a table of these lines.
fn told(lines: &str) -> Vec<String> {
    let table = format!("factor,revision,scope,gas,kg_per_unit,unit,withdrawn\n{lines}");
    let (names, timezone) = (Names::new(), jiff::tz::TimeZone::UTC);
    let terms = Terms { names: &names, timezone: &timezone, period_ms: 900_000 };
    match read_bytes(Table::Factors, "f.csv", table.as_bytes(), terms) {
        Ok(file) => vec![file.rows.len().to_string()],
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn lines_of_a_file_share_no_gas_unless_they_are_the_same() {
    assert_eq!(told("a,1,1,r-410a,1,kg,\na,2,1,r-407c,1,kg,\nb,1,1,r-410a,1,kg,\n"), ["7"]);
    assert_eq!(told("a,1,1,r-410a,1,kg,\na,1,1,0.5 hfc-125 + 0.5 hfc-32,1,kg,\n"), ["4"]);
    let torn = told("a,1,1,r-410a,1,kg,\na,1,1,0.5 hfc-32 + 0.5 hfc-134a,1,kg,\n");
    assert_eq!(torn.len(), 1, "{torn:?}");
    assert!(torn[0].starts_with(
        "f.csv:3: error: gas: the same hfc-32, with equal revision, is in line 2, too"
    ));
    let taken = told("a,1,1,r-410a,1,kg,\na,1,1,hfc-32,0.5,kg,true\n");
    assert!(taken[0].starts_with("f.csv:3: error: gas: the same hfc-32"), "{taken:?}");
}
