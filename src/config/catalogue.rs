//! What is in the table of keys: every section and key of a pipeline file, in the order of the manual.

use super::keys::Absent::{Default, Means, Required};
use super::keys::Kind::{
    Choice, Choices, Duration, DurationOr, Flag, Name, Path, Properties, Secret, Size, Text, Texts,
    Whole, Windows,
};
use super::keys::{Key, Section, key};

const SECOND: i64 = 1_000;
const DAY: i64 = 86_400_000;
const KIB: u64 = 1 << 10;

/// Every section, in the order of the manual.
pub(super) const SECTIONS: [&Section; 8] =
    [&PIPELINE, &HTTP, &TABLES, &MQTT, &KAFKA, &FILE, &DELTA, &PROMETHEUS];

/// The top of the file.
pub(super) const PIPELINE: Section = Section {
    header: "",
    kind: None,
    doc: "What the pipeline is called, and how it cuts time. These keys stand above the first `[section]`.",
    keys: &[
        key(
            "name",
            Name,
            Required,
            "\"acme\"",
            "Names the pipeline in logs, table metadata and the default MQTT client id. Renaming it makes a new MQTT session.",
        ),
        key(
            "timezone",
            Text,
            Default("\"UTC\""),
            "\"Europe/Berlin\"",
            "IANA time zone of civil days and months: `period_date` in the tables, windows to date, and dates without an offset in the CSV tables. Where months begin within an hour of UTC (India, Nepal, parts of Australia), `footprints` split that hour, and the zone cannot be changed later.",
        ),
        key(
            "period",
            Duration { least_ms: SECOND, most_ms: DAY },
            Default("\"15m\""),
            "\"15m\"",
            "Accounting period: the bucket quantities are booked in and the grain at which facts may change. A divisor of a day. Shorter periods cost memory in proportion.",
        ),
        key(
            "grace",
            Duration { least_ms: 0, most_ms: 30 * DAY },
            Default("\"15m\""),
            "\"15m\"",
            "A period's entries are booked this long after its end. Longer: fewer restatements of readings that come a little late; shorter: the ledger is more recent.",
        ),
        key(
            "retain",
            Duration { least_ms: DAY, most_ms: 400 * DAY },
            Default("\"35d\""),
            "\"35d\"",
            "How far back a late reading or a revised fact restates by itself. It moves in whole UTC days. Memory grows in proportion.",
        ),
        key(
            "samples",
            Duration { least_ms: SECOND, most_ms: 400 * DAY },
            Default("\"7d\""),
            "\"7d\"",
            "How long single readings are kept to recognise duplicates and corrections; at least a period, at most `retain`.",
        ),
        key(
            "windows",
            Windows,
            Default("[\"1h\", \"24h\", \"30d\"]"),
            "[\"1h\", \"24h\", \"30d\", \"mtd\", \"ytd\"]",
            "Windows of the live series: spans of rolling ones, and months, quarters and years to date. A span is a multiple of `period`, at most `retain`. `\"mtd\"`, `\"qtd\"` and `\"ytd\"` hold the closed periods of the month, quarter or year that is under way in `timezone`, whatever `retain` is: a restart reads from the ledger what lies further back, which takes longer the longer the window is. `[]` for none.",
        ),
        key(
            "gwp",
            Choices(&["ar4", "ar5", "ar6"]),
            Default("\"ar6\""),
            "[\"ar6\", \"ar5\"]",
            "IPCC assessment report whose 100-year potentials turn gases into CO2e: the ledger is in one set, and sets are never mixed. Of a list the first is that one; the view `footprints_by_gwp` shows the same masses in every set of it, for whoever reports by two. Another first set restates everything, with reason `gwp_change`; the others may come and go at any time.",
        ),
        key(
            "workers",
            Whole { least: 1, most: 64 },
            Default("2"),
            "2",
            "Dataflow threads. More than the machine has cores makes it slower. Results do not depend on it.",
        ),
        key(
            "state_dir",
            Path,
            Default("\"state\""),
            "\"state\"",
            "Directory of what the pipeline remembers across restarts.",
        ),
        key(
            "max_parked",
            Whole { least: 0, most: 1_000_000_000 },
            Default("1_000_000"),
            "1_000_000",
            "Readings kept while they wait for a meter or factor that is not registered yet. When it is full, further ones are rejected.",
        ),
        key(
            "restate",
            Choice(&["auto", "manual"]),
            Default("\"auto\""),
            "\"auto\"",
            "What is done about what reaches below `retain`: `auto` restates it in the background, behind the live input; `manual` waits for `plumeline restate`.",
        ),
        key(
            "max_ahead",
            Duration { least_ms: 0, most_ms: DAY },
            Default("\"5m\""),
            "\"5m\"",
            "A stamp further in the future than this is rejected: it is a device whose clock is wrong.",
        ),
    ],
};

/// `[http]`.
pub(super) const HTTP: Section = Section {
    header: "[http]",
    kind: None,
    doc: "The listener of `/metrics`, `/healthz` and `/readyz`. It is always on and has no authentication: keep it on loopback or a private network.",
    keys: &[key(
        "listen",
        Text,
        Default("\"127.0.0.1:9926\""),
        "\"127.0.0.1:9926\"",
        "Address and port, as numbers. Port 0 takes a free one.",
    )],
};

/// `[tables]`.
pub(super) const TABLES: Section = Section {
    header: "[tables]",
    kind: None,
    doc: "CSV files of facts, re-read when they change. A file that fails `plumeline check` is not applied: the last good one stays.",
    keys: &[
        key(
            "meters",
            Path,
            Means("meters come from a Kafka topic, or there are none"),
            "\"meters.csv\"",
            "Which meter counts what, and for whom. Its column `aliases`, which files alone have, holds other names that readings of the meter come under, such as `m-100;m-101`: of a device that was renamed.",
        ),
        key(
            "factors",
            Path,
            Means("factors come from a Kafka topic, or there are none"),
            "\"factors.csv\"",
            "What a unit of activity emits.",
        ),
        key(
            "series",
            Path,
            Means("series come from a Kafka topic, or every factor goes by the defaults"),
            "\"series.csv\"",
            "How versions of factors are chosen: whether a series is `locked` or `rolling`, which year's factor a reporting year takes (`vintage`), what counts where a total is printed beside its gases (`total`), and which factor stands in where one has no version (`fallback`).",
        ),
        key(
            "nodes",
            Path,
            Means("nodes come from a Kafka topic, or there are none"),
            "\"nodes.csv\"",
            "The tree of the organisation.",
        ),
        key(
            "contracts",
            Path,
            Means("contracts come from a Kafka topic, or there are none"),
            "\"contracts.csv\"",
            "Contracts for energy: whose load they cover (`node`, `covers`), what covered load is told at, market-based (`factor`), how much they have to give (`supply`: `certificates`, `metered` by meters that name the factor `output`, or `any`), and what proves that they meet the quality criteria of scope 2. Energy is matched hour by hour (UTC), in the order of `priority`.",
        ),
        key(
            "certificates",
            Path,
            Means("certificates come from a Kafka topic, or there are none"),
            "\"certificates.csv\"",
            "Energy attribute certificates retired for a contract, in whole Wh, each of at most an hour of generation.",
        ),
        key(
            "prices",
            Path,
            Means("prices come from a Kafka topic, or no money is converted"),
            "\"prices.csv\"",
            "What money is worth in other money: exchange rates, and price indices for factors that are told per money of a year, such as `GBP@2021`.",
        ),
        key(
            "max_fact_change",
            Whole { least: 0, most: 100 },
            Default("10"),
            "10",
            "Per cent of a table's keys that an edit of its file may touch: one that touches more of them, and more than ten, waits for `plumeline facts apply`; `plumeline facts diff` tells what it would restate. 100: none ever waits.",
        ),
    ],
};

const NAME_OF_SOURCE: Key = key(
    "name",
    Name,
    Required,
    "\"plant\"",
    "Names the source in logs, metrics and tables. Unique in the file.",
);
const ID_OF_SOURCE: Key = key(
    "id",
    Name,
    Means("its name"),
    "\"old-name\"",
    "What the journal, the tables and an MQTT broker know the source by. When you rename a source, write its old name here: it goes on where it was.",
);
const TYPE_OF_SOURCE: Key = key(
    "type",
    Choice(&["mqtt", "kafka", "file"]),
    Required,
    "\"mqtt\"",
    "What kind of source it is; decides which other keys it has.",
);
const CARRIES: Key = key(
    "carries",
    Choice(&[
        "readings",
        "factors",
        "series",
        "prices",
        "meters",
        "nodes",
        "contracts",
        "certificates",
    ]),
    Default("\"readings\""),
    "\"readings\"",
    "What its messages are: `readings` (activities among them), or rows of a table of facts, as JSON with the columns of the CSV files. A key of a table comes from one place only.",
);
const ALLOW_INSECURE: Key = key(
    "allow_insecure",
    Flag,
    Default("false"),
    "false",
    "Permits sending a password over a connection without TLS to another machine. Anyone on the way can read it.",
);

/// `[[source]]` of type `mqtt`.
pub(super) const MQTT: Section = Section {
    header: "[[source]]",
    kind: Some("mqtt"),
    doc: "Readings from an MQTT 5 broker, at least once, acknowledged in order.",
    keys: &[
        NAME_OF_SOURCE,
        ID_OF_SOURCE,
        TYPE_OF_SOURCE,
        key(
            "url",
            Text,
            Required,
            "\"mqtt://127.0.0.1:1883\"",
            "The broker: `mqtt://host[:1883]`, or `mqtts://host[:8883]` for TLS.",
        ),
        key(
            "topics",
            Texts,
            Required,
            "[\"meters/{meter}\"]",
            "Topics to subscribe to. `{meter}` stands for one level, `{meter...}` for the rest, and is the meter's name; a topic without either leaves the name to the payload.",
        ),
        key(
            "qos",
            Whole { least: 0, most: 2 },
            Default("1"),
            "1",
            "1: the broker redelivers what was not acknowledged. 0: what is under way when a connection breaks is lost. 2 is refused: clients lose its state on a reconnect, and duplicates are recognised anyway.",
        ),
        key(
            "client_id",
            Text,
            Means("`plumeline-<pipeline>-<source>`"),
            "\"plumeline-acme-plant\"",
            "Names the session at the broker. Two clients with one id throw each other out.",
        ),
        key(
            "session_expiry",
            Duration { least_ms: 0, most_ms: 4_294_967_294_000 },
            Default("\"7d\""),
            "\"7d\"",
            "How long the broker queues for us while we are away, in whole seconds. Brokers bound their queues themselves: mosquitto keeps 1,000 messages unless `max_queued_messages` says otherwise.",
        ),
        key(
            "receive_maximum",
            Whole { least: 1, most: 65_535 },
            Default("1000"),
            "1000",
            "Messages the broker may send before we acknowledge: what holds back a fast broker. Larger is faster over long distances and redelivers more after a crash.",
        ),
        key(
            "max_packet",
            Size { least: KIB, most: 256 * KIB * KIB },
            Default("\"1MiB\""),
            "\"1MiB\"",
            "Largest message accepted. The broker drops larger ones.",
        ),
        key(
            "username",
            Secret,
            Means("no user name is sent"),
            "\"plumeline\"",
            "User name at the broker.",
        ),
        key(
            "password",
            Secret,
            Means("no password is sent"),
            "\"${env:MQTT_PASSWORD}\"",
            "Password at the broker, by reference.",
        ),
        key(
            "ca",
            Path,
            Means("the system's certificate authorities are trusted"),
            "\"ca.pem\"",
            "PEM file of the authority that signed the broker's certificate; for `mqtts://`.",
        ),
        key(
            "cert",
            Path,
            Means("no client certificate is shown"),
            "\"client.pem\"",
            "PEM file of our certificate; together with `key` and `ca`.",
        ),
        key(
            "key",
            Path,
            Means("no client certificate is shown"),
            "\"client.key\"",
            "PEM file of its private key.",
        ),
        ALLOW_INSECURE,
    ],
};

/// `[[source]]` of type `kafka`.
pub(super) const KAFKA: Section = Section {
    header: "[[source]]",
    kind: Some("kafka"),
    doc: "Messages of Kafka topics, all partitions, without a consumer group: two pipelines never share one.",
    keys: &[
        NAME_OF_SOURCE,
        ID_OF_SOURCE,
        TYPE_OF_SOURCE,
        key(
            "brokers",
            Texts,
            Required,
            "[\"127.0.0.1:9092\"]",
            "Brokers to start from, `host:port`.",
        ),
        key("topics", Texts, Required, "[\"activities\"]", "Topics to read, by full name."),
        CARRIES,
        key(
            "start",
            Choice(&["earliest", "latest"]),
            Default("\"earliest\""),
            "\"earliest\"",
            "Where a partition without a stored position begins. Facts are always read from `earliest`.",
        ),
        key(
            "properties",
            Properties,
            Default("{}"),
            "{ \"security.protocol\" = \"SASL_SSL\" }",
            "Settings handed to librdkafka as they are; values may be references.",
        ),
        ALLOW_INSECURE,
    ],
};

/// `[[source]]` of type `file`.
pub(super) const FILE: Section = Section {
    header: "[[source]]",
    kind: Some("file"),
    doc: "JSON lines of a file, for tests, benches and first imports. When every source has ended, `run` drains, commits and exits.",
    keys: &[
        NAME_OF_SOURCE,
        ID_OF_SOURCE,
        TYPE_OF_SOURCE,
        key("path", Path, Required, "\"readings.jsonl\"", "The file."),
        key(
            "follow",
            Flag,
            Default("false"),
            "false",
            "Keeps reading as it grows; the source then never ends.",
        ),
        CARRIES,
    ],
};

const TYPE_OF_SINK: Key = key(
    "type",
    Choice(&["delta", "prometheus"]),
    Required,
    "\"delta\"",
    "What kind of sink it is; decides which other keys it has.",
);

/// `[[sink]]` of type `delta`.
pub(super) const DELTA: Section = Section {
    header: "[[sink]]",
    kind: Some("delta"),
    doc: "The ledger: Delta tables of Parquet files. One a pipeline.",
    keys: &[
        TYPE_OF_SINK,
        key(
            "url",
            Text,
            Required,
            "\"lake\"",
            "Where the tables are: a path, `file:///path` or `s3://bucket/prefix`. Region, endpoint and credentials of S3 come from the usual environment variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, ...).",
        ),
        key(
            "compression",
            Choice(&["zstd", "snappy", "lz4_raw", "none"]),
            Default("\"zstd\""),
            "\"zstd\"",
            "Of the Parquet pages. `snappy` is read by everything.",
        ),
        key(
            "commit_every",
            Duration { least_ms: SECOND, most_ms: 3_600_000 },
            Default("\"60s\""),
            "\"60s\"",
            "How often entries are committed. Shorter makes more and smaller files.",
        ),
        key(
            "compact_after",
            DurationOr { word: "never", least_ms: SECOND, most_ms: 7 * DAY },
            Default("\"1h\""),
            "\"1h\"",
            "How long after its end an hour's small files are merged to sorted ones, and after its end a day's; in the background, without changing data. A shorter one than an hour makes more and smaller files until the day is over. What was merged is deleted a week later. `\"never\"` leaves compaction to others; `OPTIMIZE` by anybody is tolerated.",
        ),
        key(
            "readings",
            Choice(&["all", "none"]),
            Default("\"all\""),
            "\"all\"",
            "Whether accepted readings are written, too; without them nothing older than `retain` can be computed again.",
        ),
    ],
};

/// `[[sink]]` of type `prometheus`.
pub(super) const PROMETHEUS: Section = Section {
    header: "[[sink]]",
    kind: Some("prometheus"),
    doc: "Footprints as gauges on `/metrics` of `[http]`. One a pipeline.",
    keys: &[
        key(
            "type",
            Choice(&["delta", "prometheus"]),
            Required,
            "\"prometheus\"",
            "What kind of sink it is; decides which other keys it has.",
        ),
        key(
            "depth",
            Whole { least: 1, most: 16 },
            Default("3"),
            "3",
            "Levels of the node tree that get series, from the roots.",
        ),
        key(
            "gases",
            Flag,
            Default("false"),
            "false",
            "Adds a series for each gas: several times as many.",
        ),
        key(
            "max_series",
            Whole { least: 1, most: 10_000_000 },
            Default("20_000"),
            "20_000",
            "Most business series at a time. What does not fit is dropped by whole levels of the tree, deepest first, and counted in `plumeline_label_overflow_total`.",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_there_twice_and_every_key_has_its_manual() {
        for section in SECTIONS {
            for (index, key) in section.keys.iter().enumerate() {
                assert!(section.keys[..index].iter().all(|other| other.name != key.name));
                assert!(key.doc.ends_with('.') && !key.example.is_empty(), "{}", key.name);
            }
        }
    }
}
