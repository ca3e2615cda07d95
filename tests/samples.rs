//! The sample pipelines of `fixtures/` pass `plumeline check`: a newcomer copies them.

use std::path::Path;

use plumeline::check::check_files;
use plumeline_fixtures::files;
use plumeline_fixtures::fleet::{Fleet, Plan};
use plumeline_fixtures::group::FACTORS;

/// Writes files into a folder and checks its `pipeline.toml`.
fn problems(written: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in written {
        std::fs::write(folder.path().join(name), content).expect("a new file");
    }
    let (_, report) = check_files(&folder.path().join("pipeline.toml"), &|_| None);
    let clean = report.exit_code() == 0 && report.problems.is_empty();
    if clean { String::new() } else { report.to_string() }
}

#[test]
fn the_starter_is_clean() {
    let names = ["pipeline.toml", "meters.csv", "nodes.csv", "factors.csv"];
    let samples =
        ["starter/pipeline.toml", "starter/meters.csv", "starter/nodes.csv", "starter/factors.csv"];
    let written: Vec<(&str, &str)> = names.into_iter().zip(samples.map(files::text)).collect();
    assert_eq!(problems(&written), "");
}

#[test]
fn the_demo_is_clean() {
    let pipeline = files::text("demo/pipeline.toml")
        .replace("{mqtt}", "127.0.0.1:1883")
        .replace("{kafka}", "127.0.0.1:9092")
        .replace("{http}", "127.0.0.1:9926");
    let fleet = Fleet::new(Plan::demo());
    let (meters, nodes) = (fleet.meters_csv(), fleet.nodes_csv());
    let written =
        [("pipeline.toml", pipeline.as_str()), ("meters.csv", &meters), ("nodes.csv", &nodes)];
    assert_eq!(problems(&written), "");
    assert!(!Path::new("plumeline-demo").exists(), "a check writes nothing");
}

#[test]
fn the_group_is_clean() {
    let pipeline = files::text("group/pipeline.toml").replace("{http}", "127.0.0.1:9926");
    let factors = plumeline::factors::export(&FACTORS.map(str::to_owned)).expect("published ones");
    let erratum = files::text("group/erratum.csv").lines().skip(1).map(|line| format!("\n{line}"));
    let solar = files::text("group/solar.csv").split_once('\n').expect("a header").1;
    let factors = factors + "\n" + solar.trim_end();
    let corrected = factors.clone() + &erratum.collect::<String>() + "\n";
    for factors in [factors, corrected] {
        let written = [
            ("pipeline.toml", pipeline.as_str()),
            ("meters.csv", files::text("group/meters.csv")),
            ("nodes.csv", files::text("group/nodes.csv")),
            ("series.csv", files::text("group/series.csv")),
            ("contracts.csv", files::text("group/contracts.csv")),
            ("factors.csv", &factors),
            ("readings.jsonl", ""),
            ("intensity.jsonl", ""),
        ];
        assert_eq!(problems(&written), "");
    }
}
