//! Tests of the live balances.

use plumeline_pipelines::model::Cause;

use super::super::{CATALOGUE, Metrics, render};
use super::*;

const GRAM: i128 = 10_i128.pow(18);
const NOW_MS: i64 = 1_767_225_600_250;

fn config() -> LiveConfig {
    LiveConfig {
        depth: 3,
        gases: false,
        max_series: 20_000,
        windows: ["open", "1h"].map(String::from).to_vec(),
    }
}

fn entry(
    names: &Names,
    (node, depth): (&str, u8),
    gas: Gas,
    mass: i128,
    presence: i64,
) -> WindowEntry {
    WindowEntry {
        key: WindowKey {
            window: 1,
            node: names.intern(node),
            depth,
            scope: 2,
            method: Method::Any,
            gas,
        },
        tick: Tick::ZERO,
        change: Emission { mass: mass.into(), co2e: (2 * mass).into(), presence },
    }
}

fn share(
    names: &Names,
    (node, depth): (&str, u8),
    (heard, expected): (u64, u64),
) -> (ShareKey, Option<Share>) {
    let key = ShareKey { window: 1, node: names.intern(node) };
    (key, Some(Share { depth, heard, expected }))
}

fn publish(live: &mut Live) -> Arc<Published> {
    let end_ms = NOW_MS - NOW_MS % 3_600_000;
    live.publish(Tick::new(NOW_MS, Cause::Cut), &[(1, end_ms)])
}

fn business(published: &Published) -> String {
    let mut text = String::new();
    published.write(&mut text);
    text.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn gases_add_up_exactly_and_a_key_without_data_disappears() {
    let names = Arc::new(Names::new());
    let mut live = Live::new(config(), Arc::clone(&names));
    let first = entry(&names, ("acme", 0), Gas::Co2, 3 * GRAM + 1, 1);
    let second = entry(&names, ("acme", 0), Gas::Ch4, GRAM, 2);
    live.apply(&[first, second]);
    let published = publish(&mut live);
    assert_eq!(
        business(&published),
        concat!(
            "ghg_emissions_co2e_grams{org_node=\"acme\",scope=\"2\",method=\"any\",window=\"1h\"}",
            " 8.000000000000000002\n",
            "ghg_window_end_timestamp_seconds{window=\"1h\"} 1767225600\n",
            "plumeline_as_of_timestamp_seconds 1767225600.25\n",
        )
    );
    let back = |entry: WindowEntry| WindowEntry { change: entry.change.negated(), ..entry };
    live.apply(&[back(first), back(second)]);
    assert_eq!(publish(&mut live).series(), 0);
    assert!(live.balances.is_empty() && live.co2e.at(0) == 0);
    assert_eq!(published.series(), 1, "what was published before stays as it was");
}

#[test]
fn a_zero_with_something_behind_it_is_shown() {
    let names = Arc::new(Names::new());
    let mut live = Live::new(config(), Arc::clone(&names));
    live.apply(&[entry(&names, ("solar", 0), Gas::Co2, 0, 1)]);
    assert!(business(&publish(&mut live)).contains("window=\"1h\"} 0\n"));
}

#[test]
fn single_gases_are_shown_on_demand_but_never_an_unknown_mass() {
    let names = Arc::new(Names::new());
    let mut live = Live::new(LiveConfig { gases: true, ..config() }, Arc::clone(&names));
    live.apply(&[
        entry(&names, ("acme", 0), Gas::N2o, GRAM, 1),
        entry(&names, ("acme", 0), Gas::Co2e, 0, 1),
    ]);
    let text = business(&publish(&mut live));
    assert!(text.contains("window=\"1h\",gas=\"n2o\"} 1\n"), "{text}");
    assert!(!text.contains("gas=\"co2e\""), "{text}");
}

#[test]
fn what_does_not_fit_is_dropped_by_whole_levels_and_counted() {
    let names = Arc::new(Names::new());
    let limited = LiveConfig { max_series: 4, ..config() };
    let mut live = Live::new(limited, Arc::clone(&names));
    let at = |node: &str, depth| entry(&names, (node, depth), Gas::Co2, GRAM, 1);
    live.apply(&[at("acme", 0), at("a", 1), at("b", 1), at("c", 2), at("d", 2), at("e", 3)]);
    let published = publish(&mut live);
    assert_eq!(published.series(), 3, "two levels fit, the third does not");
    assert_eq!(published.dropped(), [("ghg_emissions_co2e_grams", 2)]);
    let again = publish(&mut live);
    assert_eq!(again.dropped(), published.dropped(), "what stays dropped is not counted again");
    live.apply(&[WindowEntry { change: at("d", 2).change.negated(), ..at("d", 2) }]);
    let published = publish(&mut live);
    assert_eq!(published.series(), 4, "now the third level fits");
}

#[test]
fn a_node_that_moved_to_another_level_is_one_series() {
    let names = Arc::new(Names::new());
    let mut live = Live::new(config(), Arc::clone(&names));
    let at = |depth| entry(&names, ("site", depth), Gas::Co2, GRAM, 1);
    live.apply(&[at(2), at(5)]);
    let text = business(&publish(&mut live));
    assert!(text.contains("window=\"1h\"} 4\n"), "both levels add up: {text}");
    live.apply(&[WindowEntry { change: at(2).change.negated(), ..at(2) }]);
    assert_eq!(publish(&mut live).series(), 0, "now it is deeper than what is shown");
}

#[test]
fn shares_of_meters_are_shown_by_level_and_vanish_with_what_is_expected() {
    let names = Arc::new(Names::new());
    let limited = LiveConfig { depth: 2, max_series: 2, ..config() };
    let mut live = Live::new(limited, Arc::clone(&names));
    live.report([share(&names, ("acme", 0), (2, 3)), share(&names, ("site", 1), (0, 1))]);
    let text = business(&publish(&mut live));
    assert!(text.contains("ratio{org_node=\"acme\",window=\"1h\"} 0.666666666\n"), "{text}");
    assert!(text.contains("ratio{org_node=\"site\",window=\"1h\"} 0\n"), "{text}");
    // It moves to the root's level, and another comes that does not fit.
    live.report([share(&names, ("site", 0), (1, 1)), share(&names, ("yard", 1), (1, 1))]);
    let published = publish(&mut live);
    let text = business(&published);
    assert!(text.contains("ratio{org_node=\"site\",window=\"1h\"} 1\n"), "{text}");
    assert!(!text.contains("yard"), "{text}");
    assert_eq!(published.dropped(), [("ghg_reporting_ratio", 1)]);
    let keys = ["acme", "site", "yard"].map(|node| share(&names, (node, 0), (0, 1)).0);
    live.report(keys.map(|key| (key, None)));
    assert_eq!(publish(&mut live).series(), 0);
    assert_eq!((live.reporting.at(0), live.reporting.at(1)), (0, 0));
}

#[test]
fn any_order_of_batches_publishes_the_same() {
    let names = Arc::new(Names::new());
    let entries: Vec<_> = (0..200_i64)
        .map(|index| {
            let node = format!("n{}", index % 7);
            let depth = u8::try_from(index % 7).expect("small");
            let mass = i128::from(index - 90) * GRAM / 3;
            entry(&names, (&node, depth), Gas::ALL[usize::from(depth) % 3], mass, 1)
        })
        .collect();
    let mut whole = Live::new(config(), Arc::clone(&names));
    whole.apply(&entries);
    let expected = business(&publish(&mut whole));
    let mut pieces = Live::new(config(), Arc::clone(&names));
    for piece in entries.rchunks(13) {
        pieces.apply(piece);
        publish(&mut pieces);
    }
    assert_eq!(business(&publish(&mut pieces)), expected);
}

fn exposition() -> String {
    use plumeline_pipelines::model::Outcome;
    let names = Arc::new(Names::new());
    let mut live =
        Live::new(LiveConfig { gases: true, max_series: 4, ..config() }, Arc::clone(&names));
    live.apply(&[
        entry(&names, ("ac\"me\\", 0), Gas::CfeKwh, GRAM, 1),
        entry(&names, ("ac\"me\\", 0), Gas::Co2, -GRAM / 3, 1),
        entry(&names, ("site", 1), Gas::Ch4, GRAM, 1),
    ]);
    live.report([share(&names, ("ac\"me\\", 0), (2, 3)), share(&names, ("site", 1), (0, 1))]);
    let metrics = Metrics::new("0.1.0");
    metrics.readings_total("plant", Outcome::Booked).inc_by(5);
    metrics.source_connected("plant").set(1);
    metrics.source_last_message_timestamp("plant").set(1_767_225_600.5);
    metrics.kafka_lag("erp", "activities/0").set(7);
    metrics.event_lag().observe(0.3);
    metrics.tick_lag().set(0.25);
    metrics.commit_timestamp("activity").set(1_767_225_600.0);
    metrics.commit_duration().observe(0.02);
    metrics.compacted_files_total("activity").inc_by(60);
    metrics.compacted_bytes_total("activity", "in").inc_by(60_000);
    metrics.compaction_timestamp("activity").set(1_767_225_600.0);
    metrics.parked_readings().set(3);
    metrics.pending_restatement_periods().set(0);
    metrics.facts_reload_success("meters").set(1);
    metrics.facts_held_keys("meters").set(0);
    metrics.restatements_total("restated").inc();
    metrics.add_restated_co2e("restated", GRAM);
    metrics.add_restated_co2e("restated", -GRAM / 2);
    render(&metrics, Some(&publish(&mut live)))
}

#[test]
fn every_metric_of_the_catalogue_is_rendered_once() {
    let text = exposition();
    for definition in CATALOGUE {
        let head = format!("# TYPE {} {}\n", definition.name, definition.kind.name());
        assert_eq!(text.matches(&head).count(), 1, "{}:\n{text}", definition.name);
    }
    let heads = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    assert_eq!(heads, CATALOGUE.len(), "nothing else is rendered:\n{text}");
    assert!(
        text.contains(
            "ghg_restated_co2e_grams_total{reason=\"restated\",direction=\"down\"} 0.5\n"
        )
    );
}

#[test]
fn business_series_are_withheld_until_published() {
    let text = render(&Metrics::new("0.1.0"), None);
    assert!(!text.contains("ghg_emissions"), "{text}");
    assert!(text.contains("plumeline_build_info{version=\"0.1.0\"} 1\n"), "{text}");
}

#[test]
fn promtool_has_nothing_to_say() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) => {
            let is_required = std::env::var("PLUMELINE_REQUIRE_SERVERS").is_ok_and(|v| v == "1");
            assert!(!is_required, "promtool is required but does not start: {error}");
            eprintln!("skipped: promtool does not start ({error})");
            return;
        }
    };
    let mut stdin = promtool.stdin.take().expect("it is piped");
    stdin.write_all(exposition().as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
