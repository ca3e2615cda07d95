//! Tests of other names of meters.

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use plumeline_pipelines::model::Fact;

use super::super::{FactChange, FactStore, Reach, Table, Terms, read_bytes};
use super::*;

const PIPELINE: &str = "name = \"a\"\n\
    [tables]\nmeters = \"m.csv\"\n\
    [[source]]\nname = \"k\"\ntype = \"file\"\npath = \"meters.jsonl\"\ncarries = \"meters\"\n\
    [[source]]\nname = \"n\"\ntype = \"file\"\npath = \"nodes.jsonl\"\ncarries = \"nodes\"\n\
    [[sink]]\ntype = \"prometheus\"\n";
const HEADER: &str = "meter,node,kind,unit,factor,revision,withdrawn,aliases\n";

struct Case {
    names: Arc<Names>,
    store: FactStore,
}

impl Case {
    fn new() -> Self {
        let pipeline = crate::config::parse(Path::new("p.toml"), PIPELINE, &|_| None).unwrap();
        let names = Arc::new(Names::new());
        Self { store: FactStore::new(&pipeline, Arc::clone(&names)), names }
    }

    fn read(&self, rows: &[&str]) -> Result<TableFile, Problems> {
        let terms = Terms { names: &self.names, timezone: &TimeZone::UTC, period_ms: 3_600_000 };
        let text = HEADER.to_owned() + &rows.join("\n");
        read_bytes(Table::Meters, "m.csv", text.as_bytes(), terms)
    }

    /// Applies a file of these rows; says what it changes about names, `-` for those that are none any more.
    fn apply(&mut self, rows: &[&str]) -> Result<Vec<String>, String> {
        let first_line = |problems: Problems| problems.to_string();
        let file = self.read(rows).map_err(first_line)?;
        let applied = self.store.apply_file(&file).map_err(first_line)?;
        let told = |change: &AliasChange| {
            let [alias, meter] = [change.alias, change.meter].map(|id| self.names.name(id));
            format!("{}{alias} > {meter}", if change.withdrawn { "-" } else { "" })
        };
        Ok(applied.aliases.iter().map(told).collect())
    }

    #[track_caller]
    fn refuses(&mut self, rows: &[&str], expected: &str) {
        let before = self.store.aliases();
        let shown = self.apply(rows).expect_err("it is refused");
        assert!(shown.starts_with(expected), "{shown}\nis not\n{expected}");
        assert_eq!(shown.matches("error: ").count(), 1, "{shown}");
        assert_eq!(self.store.aliases(), before, "nothing is applied");
    }

    fn meter(&self, meter: &str) -> FactChange {
        let file = self.read(&[&format!("{meter},site,interval,kWh,,1,,")]).unwrap();
        file.rows[0].change.clone()
    }
}

const ONE: &str = "m-1,site,interval,kWh,,1,,";
const TWO: &str = "m-2,site,interval,kWh,,1,,";
const NAMED: &str = "m-1,site,interval,kWh,,1,,m-100; m-101";

#[test]
fn names_of_all_rows_of_a_meter_count_and_differences_are_told() {
    let mut case = Case::new();
    assert_eq!(case.apply(&[ONE, TWO]).unwrap(), [""; 0]);
    assert_eq!(case.apply(&[NAMED, TWO]).unwrap(), ["m-100 > m-1", "m-101 > m-1"]);
    assert_eq!(case.apply(&[NAMED, TWO]).unwrap(), [""; 0]);
    // Another row of the meter, and the same row once more: all of them say.
    let revised = "m-1,site,interval,MWh,,2,,m-102;m-100";
    let again = "m-1,site,interval,kWh,,1,,m-103";
    let all = case.apply(&[NAMED, TWO, revised, again]).unwrap();
    assert_eq!(all, ["m-102 > m-1", "m-103 > m-1"]);
    // A row that is taken back takes its names along; a name may move to another meter.
    let back = "m-1,site,interval,MWh,,2,true,m-102;m-100";
    let two = "m-2,site,interval,kWh,,1,,m-101";
    let one = "m-1,site,interval,kWh,,1,,m-100";
    let moved = case.apply(&[one, two, revised, back]).unwrap();
    assert_eq!(moved, ["-m-101 > m-1", "-m-102 > m-1", "-m-103 > m-1", "m-101 > m-2"]);
    assert_eq!(case.apply(&[ONE, TWO, back]).unwrap(), ["-m-100 > m-1", "-m-101 > m-2"]);
    assert!(case.store.aliases().is_empty());
}

#[test]
fn a_name_is_that_of_one_meter() {
    let mut case = Case::new();
    let also = "m-2,site,interval,kWh,,1,,m-101";
    case.refuses(
        &[NAMED, also],
        "m.csv:3: error: aliases: meter \"m-2\" names \"m-101\", which is an alias of meter \"m-1\" (line 2)\n    \
         leave it with the one whose readings come under that name",
    );
    let other = "m-100,site,interval,kWh,,1,,";
    case.refuses(
        &[TWO, NAMED, other],
        "m.csv:3: error: aliases: meter \"m-1\" names \"m-100\", which is a meter of its own (line 4)\n    \
         remove it here; or take \"m-100\" back, with withdrawn = true in its rows",
    );
    // As it says.
    case.apply(&[ONE, other]).unwrap();
    let back = "m-100,site,interval,kWh,,1,true,";
    assert_eq!(case.apply(&[NAMED, back]).unwrap(), ["m-100 > m-1", "m-101 > m-1"]);
    case.refuses(
        &["m-1,site,interval,kWh,,1,,m-100;m-1"],
        "m.csv:2: error: aliases: `m-1` is the meter itself\n    remove it: ",
    );
    for cell in ["m-100;;m-101", "m-100;", ";"] {
        let row = format!("m-1,site,interval,kWh,,1,,{cell}");
        let expected = format!(
            "m.csv:2: error: aliases: `{cell}` has an empty name in it\n    write names with one ; between them"
        );
        case.refuses(&[&row], &expected);
    }
    let long = format!("m-1,site,interval,kWh,,1,,{}", "x".repeat(257));
    assert!(case.apply(&[&long]).unwrap_err().contains("of more than 256 bytes"));
}

#[test]
fn a_row_of_a_topic_for_another_name_is_refused() {
    let mut case = Case::new();
    case.apply(&[NAMED]).unwrap();
    let row = case.meter("m-100");
    let problem = case.store.apply_change(0, &row).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "source \"k\": error: meter: meter \"m-100\" is an alias of meter \"m-1\" (m.csv:2)\n    remove the alias \
         there, or send rows of that meter"
    );
    // Before a restart has read the file, too; and one that is there already stands in the way of the name.
    let mut case = Case::new();
    let [alias, meter] = ["m-100", "m-1"].map(|name| case.names.intern(name));
    case.store.recall_aliases(&[(alias, meter)].into());
    let row = case.meter("m-100");
    assert!(case.store.apply_change(0, &row).unwrap_err().message.contains("(the journal)"));
    assert_eq!(case.apply(&[ONE]).unwrap(), ["-m-100 > m-1"]);
    assert_eq!(case.store.apply_change(0, &row).unwrap().len(), 1);
    case.refuses(&[NAMED], "m.csv:2: error: aliases: meter \"m-1\" names \"m-100\", which is a meter of its own (source \"k\")");
}

#[test]
fn a_name_is_no_part_of_a_row_and_touches_its_meter() {
    let mut case = Case::new();
    case.apply(&[ONE, TWO]).unwrap();
    let file = case.read(&[NAMED, TWO]).unwrap();
    let plan = case.store.plan(&[file]).unwrap();
    assert_eq!(plan.applied.changes, []);
    let reach = Reach::of(&case.store, &plan.applied);
    assert_eq!(reach.len(), 1);
    assert_eq!((reach[0].keys, reach[0].touched, reach[0].new, reach[0].rows), (2, 1, 0, 0));
    let Fact::Meter(row) = case.meter("m-1").fact else { panic!("a meter") };
    assert_eq!(TableRow::differences(&row, &row), [""; 0]);
}

#[test]
fn only_the_file_of_meters_has_names() {
    let case = Case::new();
    let terms = Terms { names: &case.names, timezone: &TimeZone::UTC, period_ms: 3_600_000 };
    let nodes = read_bytes(Table::Nodes, "n.csv", b"node,parent,aliases\na,,b\n", terms);
    let shown = nodes.unwrap_err().to_string();
    assert!(shown.contains("header: unknown column `aliases`"), "{shown}");
}
