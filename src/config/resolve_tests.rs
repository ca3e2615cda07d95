//! Tests of resolving a pipeline file.

use std::path::Path;

use plumeline_connectors::SourceConfig;
use plumeline_connectors::config::{Carries, Start};

use super::*;

const SMALLEST: &str = "name = \"a\"\n\
    [[source]]\nname = \"s\"\ntype = \"file\"\npath = \"in.jsonl\"\n\
    [[sink]]\ntype = \"delta\"\nurl = \"lake\"\n";

fn env(name: &str) -> Option<String> {
    (name == "PASSWORD").then(|| "canary".into())
}

fn of(text: &str) -> Result<Pipeline, Problems> {
    parse(Path::new("dir/p.toml"), text, &env)
}

/// The smallest pipeline with `top` above it and `below` under it.
fn with(top: &str, below: &str) -> Result<Pipeline, Problems> {
    of(&format!("{top}\n{SMALLEST}\n{below}"))
}

/// The one problem of `text`, as it is shown.
fn only(result: Result<Pipeline, Problems>) -> String {
    let problems = result.expect_err("something is wrong");
    let shown = problems.to_string();
    assert_eq!(problems.iter().count(), 1, "{shown}");
    shown.lines().take(2).collect::<Vec<_>>().join(" |")
}

#[test]
fn defaults_are_those_of_the_contract() {
    let pipeline = of(SMALLEST).unwrap();
    let policy = &pipeline.policy;
    assert_eq!((policy.period_ms, policy.grace_ms), (900_000, 900_000));
    assert_eq!((policy.retain.ms(), policy.samples_ms), (35 * DAY_MS, 7 * DAY_MS));
    assert_eq!(policy.windows_ms, [DAY_MS / 24, DAY_MS, 30 * DAY_MS]);
    assert_eq!(pipeline.window_labels, ["1h", "24h", "30d"]);
    assert_eq!((policy.gwp, pipeline.workers), (GwpSet::Ar6, 2));
    assert_eq!(pipeline.also_gwp, []);
    assert_eq!(pipeline.timezone_name, "UTC");
    assert_eq!((pipeline.max_parked, pipeline.max_ahead_ms), (1_000_000, 300_000));
    assert_eq!(pipeline.http.to_string(), "127.0.0.1:9926");
    assert_eq!(pipeline.state_dir, Path::new("dir/state"));
    assert_eq!(pipeline.tables, Tables::default());
    let delta = pipeline.delta.unwrap();
    assert!(Path::new(&delta.url).is_absolute() && delta.url.ends_with("dir/lake"));
    assert_eq!((delta.commit_every_ms, delta.readings), (60_000, true));
    assert_eq!(delta.compact_after_ms, Some(3_600_000));
    assert!(pipeline.prometheus.is_none() && pipeline.warnings.is_empty());
}

#[test]
fn the_first_set_of_potentials_is_the_ledgers() {
    for (written, sets) in [
        ("\"ar5\"", vec![GwpSet::Ar5]),
        ("[\"ar4\"]", vec![GwpSet::Ar4]),
        ("[\"ar5\", \"ar6\", \"ar4\"]", vec![GwpSet::Ar5, GwpSet::Ar6, GwpSet::Ar4]),
    ] {
        let pipeline = with(&format!("gwp = {written}"), "").unwrap();
        assert_eq!((pipeline.policy.gwp, &*pipeline.also_gwp), (sets[0], &sets[1..]));
        assert_eq!(pipeline.lake(false).unwrap().also_gwp, pipeline.also_gwp);
    }
}

#[test]
fn compaction_waits_for_so_long_or_is_left_to_others() {
    let after = |value: &str| {
        let sink = format!("url = \"lake\"\ncompact_after = \"{value}\"");
        of(&SMALLEST.replace("url = \"lake\"", &sink))
    };
    assert!(SMALLEST.contains("url = \"lake\""));
    for (value, expected) in [("2s", Some(2_000)), ("7d", Some(7 * DAY_MS)), ("never", None)] {
        let delta = after(value).unwrap().delta.unwrap();
        assert_eq!(delta.compact_after_ms, expected, "{value}");
    }
    for value in ["0s", "8d", "Never", "1"] {
        after(value).unwrap_err();
    }
}

#[test]
fn the_contracts_sources_are_read() {
    let pipeline = with(
        "",
        r#"
        [[source]]
        name = "plant"
        type = "mqtt"
        url = "mqtts://broker.example"
        topics = ["meters/{meter}"]
        username = "u"
        password = "${env:PASSWORD}"
        [[source]]
        name = "erp"
        type = "kafka"
        brokers = ["127.0.0.1:9092"]
        topics = ["factors"]
        carries = "factors"
        properties = { "security.protocol" = "SASL_SSL", "sasl.password" = "${env:PASSWORD}" }
        "#,
    )
    .unwrap();
    let SourceConfig::Mqtt(mqtt) = &pipeline.sources[1].config else { panic!("an mqtt source") };
    assert_eq!(
        (mqtt.host.as_str(), mqtt.port, mqtt.tls, mqtt.qos),
        ("broker.example", 8883, true, 1)
    );
    assert_eq!(mqtt.client_id, "plumeline-a-plant");
    assert_eq!((mqtt.session_expiry_s, mqtt.receive_maximum), (604_800, 1000));
    assert_eq!(mqtt.max_packet_bytes, 1 << 20);
    let SourceConfig::Kafka(kafka) = &pipeline.sources[2].config else { panic!("a kafka source") };
    assert_eq!((kafka.carries, kafka.start), (Carries::Factors, Start::Earliest));
    assert_eq!(kafka.properties["sasl.password"].expose(), "canary");
    assert!(!format!("{pipeline:?}").contains("canary"), "secrets are never shown");
}

#[test]
fn every_problem_is_reported_at_once_with_its_line() {
    let problems =
        of("nmae = \"a\"\nperiod = \"7m\"\nworkers = 0\n\n[http]\nlisten = \"localhost:80\"\n")
            .unwrap_err()
            .to_string();
    assert!(!problems.contains("name: is missing"), "one mistake is one problem");
    for expected in [
        "dir/p.toml:1: error: nmae: unknown key in the top of the file\n    did you mean `name`?",
        "dir/p.toml:2: error: period: 7m does not divide a day",
        "    the nearest that do are 6m and 8m",
        "dir/p.toml:3: error: workers: 0 is out of range",
        "dir/p.toml:6: error: http.listen: `localhost:80` is no address with a port",
        "    write a number for the host: \"127.0.0.1:80\"",
        "[[source]]: there is none",
        "[[sink]]: there is none",
    ] {
        assert!(problems.contains(expected), "{expected}\nis not in\n{problems}");
    }
}

#[test]
fn relations_of_keys_are_checked() {
    for (top, expected) in [
        ("retain = \"12h\"", "retain: 12h is out of range"),
        ("retain = \"31d\"\nsamples = \"32d\"", "samples: is longer than retain = \"31d\""),
        ("samples = \"5m\"", "samples: is shorter than period = \"15m\""),
        ("retain = \"30d\"\ngrace = \"30d\"", "grace: is not shorter than retain = \"30d\""),
        ("windows = [\"20m\"]", "windows: \"20m\" is not a multiple of period = \"15m\""),
        ("windows = [\"36d\"]", "windows: \"36d\" is longer than retain"),
        ("windows = [\"24h\", \"1d\"]", "windows: \"1d\" is there twice"),
        ("windows = [\"ytd\", \"24h\", \"ytd\"]", "windows: \"ytd\" is there twice"),
        ("windows = [\"ydt\"]", "windows: `ydt` is no window"),
        ("timezone = \"Europe/Berln\"", "timezone: `Europe/Berln` is no time zone | "),
        ("gwp = \"ar7\"", "gwp: `ar7` is not one of its values"),
        ("gwp = []", "gwp: is an empty list |    name at least one of \"ar4\", \"ar5\" or \"ar6\""),
        (
            "gwp = [\"ar5\",\n\"ar6\",\n\"ar5\"]",
            "p.toml:3: error: gwp: \"ar5\" is there twice |    keep one",
        ),
        (
            "gwp = [\"ar5\",\n\"AR6\"]",
            "p.toml:2: error: gwp: `AR6` is not one of its values |    did you mean \"ar6\"?",
        ),
        (
            "gwp = 6",
            "gwp: is written as a whole number |    write \"ar4\", \"ar5\" or \"ar6\", or a list of them",
        ),
        ("period = 15", "period: is written as a whole number"),
        ("period = \"15\"", "period: `15` has no unit"),
        ("state_dir = \"${env:X}\"", "state_dir: holds a reference"),
        ("listen = \"127.0.0.1:1\"", "`listen` belongs to [http]: move it there"),
        ("max_packet = \"1MiB\"", "belongs to [[source]] of type \"mqtt\": move it there"),
    ] {
        let shown = only(with(top, ""));
        assert!(shown.contains(expected), "{top}: {shown}");
    }
}

#[test]
fn sources_and_sinks_are_checked() {
    let mqtt = |rest: &str| {
        let head = "[[source]]\nname = \"m\"\ntype = \"mqtt\"\n";
        only(with("", &format!("{head}{rest}")))
    };
    let topics = "topics = [\"{meter}\"]\n";
    for (rest, expected) in [
        (
            "url = \"mqtt://h\"\ntopics = [\"a/#\"]",
            "m\".topics: \"a/#\": write {meter} for one level",
        ),
        (
            "url = \"mqtt://h\"\ntopics = [\"{meter}\"]\nqos = 2",
            "m\".qos: 2 is refused: its state is lost",
        ),
        (&format!("url = \"tcp://h\"\n{topics}"), "url: `tcp://` is not spoken"),
        (&format!("url = \"mqtt://u:canary@h\"\n{topics}"), "url: holds a user name or password"),
        (&format!("url = \"h:1883\"\n{topics}"), "url: "),
        (&format!("url = \"mqtt://h\"\n{topics}ca = \"x\""), "ca: has no effect without TLS"),
        (
            &format!("url = \"mqtts://h\"\n{topics}ca = \"y\"\ncert = \"x\""),
            "cert: stands without `key`",
        ),
        (
            &format!("url = \"mqtt://h\"\n{topics}password = \"${{env:PASSWORD}}\""),
            "password: would cross the network in the clear",
        ),
        (&format!("url = \"mqtt://h\"\n{topics}password = \"${{env:NO}}\""), "`NO` is not set"),
        (
            &format!("url = \"mqtt://h\"\n{topics}brokers = []"),
            "belongs to [[source]] of type \"kafka\"",
        ),
    ] {
        let shown = mqtt(rest);
        assert!(shown.contains(expected), "{rest}: {shown}");
        assert!(!shown.contains("canary"));
    }
    for (below, expected) in [
        (
            "[[source]]\nname = \"s\"\ntype = \"file\"\npath = \"x\"",
            "also the name of the source in line 4",
        ),
        (
            "[[source]]\nname = \"k\"\ntype = \"kafak\"",
            "source \"k\".type: `kafak` is no type of source",
        ),
        (
            "[[sink]]\ntype = \"delta\"\nurl = \"x\"",
            "is a second delta sink; the first is in line 7",
        ),
        ("[http]\nlisten = \"0.0.0.0\"", "add a port: \"0.0.0.0:9926\""),
        ("[htpp]\nlisten = \"127.0.0.1:1\"", "did you mean [http]?"),
    ] {
        let shown = only(with("", below));
        assert!(shown.contains(expected), "{below}: {shown}");
    }
}

#[test]
fn kafka_is_checked() {
    for (rest, expected) in [
        ("brokers = [\"h\"]\ntopics = [\"t\"]", "\"h\" is not host:port"),
        ("brokers = [\"h:1\"]\ntopics = [\"^t.*\"]", "\"^t.*\" is no name of a topic"),
        ("brokers = [\"h:1\"]\ntopics = []", "topics: is empty"),
        (
            "brokers = [\"h:1\"]\ntopics = [\"t\"]\ncarries = \"nodes\"\nstart = \"latest\"",
            "\"latest\" would miss the nodes already published",
        ),
        (
            "brokers = [\"h:1\"]\ntopics = [\"t\"]\nproperties = { \"enable.auto.commit\" = \"true\" }",
            "is set by Plumeline",
        ),
        (
            "brokers = [\"h:1\"]\ntopics = [\"t\"]\nproperties = { security.protocol = \"SSL\" }",
            "`security` is a table: its name has a point and no quotes",
        ),
        (
            "brokers = [\"h:1\"]\ntopics = [\"t\"]\nproperties = { \"security.protocol\" = \"SASL_PLAINTEXT\" }",
            "SASL_PLAINTEXT would send credentials",
        ),
    ] {
        let shown = only(with("", &format!("[[source]]\nname = \"k\"\ntype = \"kafka\"\n{rest}")));
        assert!(shown.contains(expected), "{rest}: {shown}");
    }
}

#[test]
fn a_plain_password_is_a_warning_and_is_not_shown() {
    let pipeline = with(
        "",
        "[[source]]\nname = \"m\"\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\n\
         topics = [\"{meter}\"]\npassword = \"canary\"",
    )
    .unwrap();
    assert_eq!(pipeline.warnings.len(), 1);
    let shown = pipeline.warnings[0].to_string();
    assert!(shown.contains("a secret stands in the file itself") && !shown.contains("canary"));
}

#[test]
fn what_is_not_toml_names_the_line() {
    let shown = of("name = \"a\nperiod = \"15m\"\n").unwrap_err().to_string();
    assert!(shown.starts_with("dir/p.toml:1: error: not TOML: "), "{shown}");
    // What follows a list that is not closed is noise of the parser's.
    let unclosed = "windows = [\"1h\"\n\n[http]\nlisten = \"x\"\n[tables]\nmeters = \"m\"\n";
    let shown = of(unclosed).unwrap_err().to_string();
    assert!(shown.contains("a list above is not closed: add the missing ]"), "{shown}");
    assert!(shown.ends_with("1 error, 0 warnings"), "{shown}");
    let shown = of("name = \"a\"\nname = \"b\"\n").unwrap_err().to_string();
    assert!(shown.contains("p.toml:2: error: not TOML: duplicate key"), "{shown}");
}

#[test]
fn a_file_of_another_kind_is_told_in_a_few_lines() {
    let shown = of(&"# A heading\nSome prose, and more.\n".repeat(200)).unwrap_err().to_string();
    assert!(shown.contains("p.toml:12: error: not TOML: nor is much after it"), "{shown}");
    assert!(shown.contains("give the path of a pipeline file"), "{shown}");
    assert!(shown.ends_with("6 errors, 0 warnings"), "{shown}");
}

#[test]
fn a_single_bracket_is_recognised() {
    let shown = of(&SMALLEST.replace("[[source]]", "[source]")).unwrap_err().to_string();
    assert!(shown.contains("p.toml:2: error: [source]: stands in single brackets"), "{shown}");
}

#[test]
fn windows_to_date_are_numbered_after_rolling_ones() {
    let pipeline = with("windows = [\"ytd\", \"24h\", \"mtd\"]\ntimezone = \"Asia/Kathmandu\"", "");
    let Pipeline { policy, window_labels, .. } = pipeline.unwrap();
    assert_eq!(window_labels, ["24h", "ytd", "mtd"]);
    assert_eq!(policy.windows_ms, [DAY_MS]);
    assert_eq!(policy.calendar.windows(), [ToDate::Year, ToDate::Month]);
    assert_eq!(policy.calendar.zone(), "Asia/Kathmandu");
    assert!(policy.calendar.splits_hours());
}

#[test]
fn windows_to_date_reach_below_retain_only_where_a_ledger_says_what_was_there() {
    let of_prometheus = |top: &str| {
        let sink = "[[sink]]\ntype = \"prometheus\"\n";
        let source = "[[source]]\nname = \"s\"\ntype = \"file\"\npath = \"in.jsonl\"\n";
        of(&format!("name = \"a\"\n{top}\n{source}{sink}"))
    };
    assert!(of_prometheus("windows = [\"mtd\"]").is_ok(), "retain is 35 days");
    let shown = only(of_prometheus("windows = [\"mtd\", \"qtd\"]"));
    let message = "windows: \"qtd\" reaches below retain, and there is no delta sink";
    assert!(shown.contains(message) && shown.starts_with("dir/p.toml:2: error"), "{shown}");
    assert!(shown.ends_with("or write retain = \"93d\""), "{shown}");
    assert!(of_prometheus("windows = [\"ytd\"]\nretain = \"367d\"").is_ok());
    assert!(with("windows = [\"mtd\", \"qtd\", \"ytd\"]", "").is_ok());
}
