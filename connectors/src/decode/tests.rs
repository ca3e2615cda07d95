//! Tests of the decoder: every shape of payload, good and bad.

use plumeline_pipelines::model::{ActivityRecord, Decimal, Id, Quality, Reading, Unit};

use super::time::parse_instant_ms;
use super::*;

const NOW: &str = "2026-01-01T12:00:00Z";

fn now_ms() -> i64 {
    parse_instant_ms(NOW).unwrap()
}

fn decoder(carries: Carries) -> Decoder {
    let limits = Limits {
        payload_bytes_max: 1 << 20,
        max_ahead_ms: 300_000,
        timezone: TimeZone::UTC,
        period_ms: 900_000,
    };
    Decoder::new(carries, 3, Arc::new(Names::new()), limits)
}

fn decode_with(decoder: &mut Decoder, topic_meter: Option<&str>, bytes: &[u8]) -> Decoded {
    let mut out = Decoded::default();
    let payload = Payload { bytes, size: bytes.len(), topic_meter, position: 77 };
    decoder.decode(payload, now_ms(), &mut out);
    let parts = out.records.len() + out.facts.len() + out.rejects.len();
    assert_eq!(out.received, u64::try_from(parts).unwrap() + out.ignored);
    out
}

fn decode(bytes: &[u8]) -> Decoded {
    decode_with(&mut decoder(Carries::Readings), None, bytes)
}

fn reason(payload: &str) -> String {
    let out = decode(payload.as_bytes());
    assert_eq!((out.received, out.rejects.len()), (1, 1), "{payload}: {out:?}");
    assert_eq!(out.rejects[0].raw, payload.trim().as_bytes());
    out.rejects[0].reason.clone()
}

fn reading(decoder: &mut Decoder, payload: &str) -> Reading {
    let out = decode_with(decoder, None, payload.as_bytes());
    match out.records.as_slice() {
        [Record::Reading(reading)] => reading.clone(),
        _ => panic!("{payload}: {out:?}"),
    }
}

/// A reading in which `fields` stand in place of, or beside, the usual ones.
fn with(fields: &str) -> String {
    let mut text = format!("{{{fields}");
    for (field, usual) in [
        ("meter", r#""m-17""#),
        ("observed_at", r#""2026-01-01T00:00:00Z""#),
        ("value", "12.34"),
        ("unit", r#""kWh""#),
    ] {
        if !fields.contains(&format!("\"{field}")) {
            text.extend([",\"", field, "\":", usual]);
        }
    }
    text.push('}');
    text.replace("{,", "{")
}

#[test]
fn a_reading_is_read_exactly() {
    let mut decoder = decoder(Carries::Readings);
    let payload = r#"{"meter":"m-17","observed_at":"2026-01-01T00:00:00.1239Z","value":12345.678901234500001,
        "unit":"kWh","quality":"estimated","version":2,"rssi":-71,"nested":{"a":[1]}}"#;
    let expected = Reading {
        meter: Id(1),
        at_ms: parse_instant_ms("2026-01-01T00:00:00.123Z").unwrap(),
        from_ms: None,
        value: Decimal::parse("12345.678901234500001").ok(),
        unit: Unit::parse("kWh").ok(),
        version: 2,
        quality: Quality::Estimated,
        arrival: Arrival { index: 0, source: 3, element: 0, position: 77 },
    };
    assert_eq!(reading(&mut decoder, payload), expected);
    assert_eq!(decoder.names.find("m-17"), Some(Id(1)));
}

#[test]
fn spellings_of_gateways_mean_the_same() {
    let mut decoder = decoder(Carries::Readings);
    let usual = reading(&mut decoder, &with(""));
    for fields in [
        r#""value":"12.340""#,
        r#""value":1234e-2"#,
        r#""observed_at":"2026-01-01T03:00:00+0300""#,
        r#""observed_at_ms":1767225600000"#,
        r#""observed_at_ms":1767225600000.9"#,
        r#""observed_at_ms":"1767225600000""#,
        r#""unit":"kwh""#,
        r#""meter":"m\u002d17""#,
        r#""quality":"measured","withdraw":false"#,
        r#""unit":"kWh","version":null,"quality":null"#,
    ] {
        assert_eq!(reading(&mut decoder, &with(fields)), usual, "{fields}");
    }
    let without_unit = with("").replace(r#","unit":"kWh""#, "");
    assert_eq!(reading(&mut decoder, &without_unit).unit, None);
    let span = with(r#""from":"2025-12-31T23:45:00Z","to":"2026-01-01T00:00:00Z""#)
        .replace(r#","observed_at":"2026-01-01T00:00:00Z""#, "");
    let span = reading(&mut decoder, &span);
    assert_eq!((span.at_ms, span.from_ms), (usual.at_ms, Some(usual.at_ms - 900_000)));
    let withdrawn = reading(&mut decoder, &with(r#""withdraw":true,"value":"anything""#));
    assert_eq!((withdrawn.value, withdrawn.at_ms), (None, usual.at_ms));
}

#[test]
fn the_topic_may_name_the_meter() {
    let mut decoder = decoder(Carries::Readings);
    let nameless = r#"{"observed_at":"2026-01-01T00:00:00Z","value":1}"#;
    let out = decode_with(&mut decoder, Some("m-1"), nameless.as_bytes());
    assert_eq!(out.records.len(), 1);
    let out = decode_with(&mut decoder, Some("m-17"), with("").as_bytes());
    assert_eq!(out.records.len(), 1);
    let out = decode_with(&mut decoder, Some("m-18"), with("").as_bytes());
    assert_eq!(out.rejects[0].reason, "meter: the payload says `m-17`, its topic `m-18`");
    assert_eq!(reason(nameless), "meter is missing");
}

#[test]
fn what_carries_nothing_is_ignored() {
    for payload in [
        "",
        "  \n",
        "null",
        "nan",
        "NaN",
        "\"nan\"",
        "None",
        "Online",
        "Offline",
        "\"unavailable\"",
        "unknown",
    ] {
        let out = decode(payload.as_bytes());
        assert_eq!((out.received, out.ignored), (1, 1), "{payload}");
    }
    for value in ["null", r#""nan""#, r#""None""#, r#""Online""#, r#""unavailable""#, r#""""#] {
        let out = decode(with(&format!(r#""value":{value}"#)).as_bytes());
        assert_eq!((out.received, out.ignored), (1, 1), "{value}");
    }
}

#[test]
fn bad_readings_are_refused_with_the_text() {
    let forty = "1".repeat(40);
    for (fields, says) in [
        (r#""value":NaN"#.to_owned(), "not JSON: unexpected text at column 10, near `NaN,"),
        (r#""value":Infinity"#.to_owned(), "near `Infinity,"),
        (r#""value":"inf""#.to_owned(), "value: `inf` is not a decimal number"),
        (r#""value":1e400"#.to_owned(), "value: `1e400` has more than 38"),
        (format!(r#""value":{forty}"#), "value: `1111111111"),
        (r#""value":"1,5""#.to_owned(), "value: `1,5` is not a decimal number"),
        (r#""value":true"#.to_owned(), "value: `true` is not a number"),
        (r#""value":[1]"#.to_owned(), "value: `[1]` is not a number"),
        (r#""unit":"kw/h""#.to_owned(), "unit: unknown unit `kw/h`"),
        (r#""unit":7"#.to_owned(), "unit: `7` is not a text"),
        (
            r#""observed_at":"2026-01-01T00:00:00""#.to_owned(),
            "observed_at: `2026-01-01T00:00:00` has no offset",
        ),
        (
            r#""observed_at":"yesterday""#.to_owned(),
            "observed_at: `yesterday` is not an RFC 3339 instant",
        ),
        (r#""observed_at":1767225600"#.to_owned(), "observed_at: `1767225600` is not a text"),
        (
            r#""observed_at":"1970-01-01T00:00:07Z""#.to_owned(),
            "observed_at: `1970-01-01T00:00:07Z` is before 2000: device clock not set?",
        ),
        (
            r#""observed_at_ms":7"#.to_owned(),
            "observed_at: `7` is before 2000: device clock not set?",
        ),
        (
            r#""observed_at":"2026-01-02T00:00:00Z""#.to_owned(),
            "observed_at: `2026-01-02T00:00:00Z` is in the future, after 2026-01-01T12:05:00Z",
        ),
        (
            r#""observed_at_ms":"soon""#.to_owned(),
            "observed_at_ms: `\"soon\"` is no number of milliseconds",
        ),
        (r#""quality":"good""#.to_owned(), "quality: `good` is none of measured"),
        (r#""version":0"#.to_owned(), "version: `0` is no whole number from 1"),
        (r#""version":4294967296"#.to_owned(), "version: `4294967296` is no whole number"),
        (r#""withdraw":"yes""#.to_owned(), "withdraw: `\"yes\"` is neither true nor false"),
        (r#""meter":"""#.to_owned(), "meter is empty"),
        (r#""meter":{}"#.to_owned(), "meter: `{}` is not a text"),
        (format!(r#""meter":"{}""#, "m".repeat(257)), "is longer than 256 bytes"),
        (r#""meter":"a\u0000b""#.to_owned(), "holds a control character"),
        (r#""value":1,"value":2"#.to_owned(), "duplicate field `value`"),
        (
            r#""observed_at":"2026-01-01T00:00:00Z","observed_at_ms":1"#.to_owned(),
            "observed_at and observed_at_ms exclude each other",
        ),
        (
            r#""from":"2026-01-01T00:00:00Z","to":"2026-01-01T01:00:00Z""#.to_owned(),
            "observed_at and from, to exclude each other",
        ),
    ] {
        let reason = reason(&with(&fields));
        assert!(reason.contains(says), "{fields}: {reason}");
    }
    let without = |field: &str| with("").replace(&format!("\"{field}\""), "\"other\"");
    assert_eq!(reason(&without("value")), "value is missing");
    assert_eq!(reason(&without("observed_at")), "observed_at is missing");
}

#[test]
fn intervals_have_bounds() {
    let span = |from: &str, to: &str| {
        reason(&format!(r#"{{"meter":"m","value":1,"from":"{from}","to":"{to}"}}"#))
    };
    let (a, b) = ("2025-01-01T00:00:00Z", "2025-01-01T01:00:00Z");
    assert!(span(a, a).starts_with("to: 2025-01-01T00:00:00Z is not after from"));
    assert!(span(b, a).contains("is not after from"));
    assert!(span("2024-12-30T00:00:00Z", "2026-01-01T00:00:00Z").contains("more than 366 days"));
    assert!(span(a, "2026-02-01T00:00:00Z").contains("in the future"));
    assert_eq!(reason(&format!(r#"{{"meter":"m","value":1,"from":"{a}"}}"#)), "to is missing");
    assert_eq!(reason(&format!(r#"{{"meter":"m","value":1,"to":"{a}"}}"#)), "from is missing");
}

#[test]
fn what_is_no_object_is_refused_whole() {
    assert!(reason("hello {").starts_with("not JSON: unexpected text at column 1, near `hello {`"));
    assert!(reason(r#"{"meter":"m-17""#).starts_with("not JSON: it ends too early"));
    assert_eq!(reason("10.66"), "not an object: `10.66`");
    assert_eq!(reason("\"m-17\""), "not an object: `\"m-17\"`");
    let nested = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    assert_eq!(
        reason(&with(&format!("\"deep\":{nested}"))),
        "too deep: nested more than 32 levels"
    );
    let out = decode(b"{\"meter\":\"\xff\"}");
    assert_eq!(out.rejects[0].reason, "not UTF-8: the byte at 10 begins no letter");
    let large = vec![b' '; (1 << 20) + 1];
    let out = decode(&large);
    assert_eq!(out.rejects[0].reason, "too large: 1048577 bytes, at most 1048576 are taken");
    assert_eq!(out.rejects[0].raw.len(), RAW_BYTES_MAX);
}

#[test]
fn brackets_without_end_are_refused_without_recursion() {
    let out = decode("[".repeat(1 << 19).as_bytes());
    assert_eq!(out.rejects.len(), 1);
    let out = decode("{\"a\":".repeat(1 << 17).as_bytes());
    assert_eq!(out.rejects.len(), 1);
}

#[test]
fn each_element_stands_for_itself() {
    let good = with("");
    let elements = |out: &Decoded| -> Vec<u32> {
        let records = out.records.iter().map(|record| match record {
            Record::Reading(reading) => reading.arrival.element,
            Record::Activity(activity) => activity.arrival.element,
        });
        records.chain(out.rejects.iter().map(|reject| reject.element)).collect()
    };
    let array = format!("[{good}, 7, null, {{\"meter\":\"m\"}}, {good}]");
    let out = decode(array.as_bytes());
    assert_eq!((out.received, out.ignored), (5, 1));
    assert_eq!(elements(&out), [0, 4, 1, 3]);
    assert_eq!(out.rejects[0].raw, b"7");
    let lines = format!("{good}\n{{broken\n\n[{good},{good}]\r\nOnline\n{good}");
    let out = decode(lines.as_bytes());
    assert_eq!((out.received, out.ignored), (6, 1));
    assert_eq!(elements(&out), [0, 2, 3, 5, 1]);
    let pretty = good.replace(',', ",\n  ");
    assert_eq!(decode(pretty.as_bytes()).records.len(), 1);
    assert_eq!(decode(b"[]"), Decoded::default());
    assert_eq!(decode(format!("\u{feff}{good}").as_bytes()).records.len(), 1);
}

#[test]
fn an_activity_is_read_exactly() {
    let payload = r#"{"activity":"a-991","node":"dc-7","factor":"hgv-artic","from":"2025-12-01T00:00:00Z",
        "to":"2025-12-02T00:00:00Z","value":1234.5,"unit":"t.km","version":1}"#;
    let mut decoder = decoder(Carries::Readings);
    let out = decode_with(&mut decoder, None, payload.as_bytes());
    let expected = ActivityRecord {
        activity: Id(1),
        node: Id(2),
        factor: Id(3),
        from_ms: parse_instant_ms("2025-12-01T00:00:00Z").unwrap(),
        to_ms: parse_instant_ms("2025-12-02T00:00:00Z").unwrap(),
        value: Decimal::parse("1234.5").ok(),
        unit: Unit::parse("t.km").unwrap(),
        version: 1,
        quality: Quality::Measured,
        arrival: Arrival { index: 0, source: 3, element: 0, position: 77 },
    };
    assert_eq!(out.records, [Record::Activity(expected)]);
    let out =
        decode_with(&mut decoder, None, br#"{"activity":"a-991","withdraw":true,"version":2}"#);
    let Record::Activity(withdrawn) = &out.records[0] else { panic!("an activity") };
    assert_eq!((withdrawn.value, withdrawn.version, withdrawn.activity), (None, 2, Id(1)));
    for (change, says) in [
        ((r#""node":"dc-7""#, r#""other":1"#), "node is missing"),
        ((r#""unit":"t.km""#, r#""other":1"#), "unit is missing"),
        ((r#""unit":"t.km""#, r#""unit":"kW""#), "unit: `kW` is a power"),
        ((r#""value":1234.5"#, r#""value":1e30"#), "value: 1"),
        ((r#""factor":"hgv-artic""#, r#""meter":"m""#), "activity and meter exclude each other"),
        ((r#""from":"2025-12-01T00:00:00Z","#, ""), "from is missing"),
    ] {
        let reason = reason(&payload.replace(change.0, change.1));
        assert!(reason.starts_with(says), "{says}: {reason}");
    }
}

#[test]
fn a_refused_element_leaves_no_name_behind() {
    let mut decoder = decoder(Carries::Readings);
    decode_with(&mut decoder, None, with(r#""meter":"new","version":0"#).as_bytes());
    assert_eq!(decoder.names.find("new"), None);
}

#[test]
fn facts_are_rows_with_the_columns_of_the_tables() {
    let mut factors = decoder(Carries::Factors);
    let line = r#"{"factor":"grid","revision":2,"scope":2,"gas":"co2","kg_per_unit":0.20707000000000000001,
        "unit":"kWh","valid_from":"2026-01-01","source":null,"withdrawn":false}"#;
    let out = decode_with(&mut factors, None, line.as_bytes());
    let [FactChange { fact: plumeline_pipelines::model::Fact::Factor(row), withdrawn: false }] =
        out.facts[0].as_slice()
    else {
        panic!("{out:?}")
    };
    assert_eq!(row.kg_per_unit.to_string(), "0.20707000000000000001");
    for (change, says) in [
        (("\"gas\"", "\"gass\""), "gass: is no column of this table; write `gas`, or remove it"),
        (
            ("\"2026-01-01\"", "\"2026-01-01T00:07:00Z\""),
            "valid_from: `2026-01-01T00:07:00Z` is in the middle",
        ),
        (("\"kWh\"", "{}"), "unit: `{}` is neither a text nor a number"),
        (("\"scope\":2", "\"revision\":3"), "duplicate field `revision`"),
    ] {
        let out = decode_with(&mut factors, None, line.replace(change.0, change.1).as_bytes());
        assert!(out.rejects[0].reason.starts_with(says), "{}", out.rejects[0].reason);
    }
    let blend = line.replace("\"co2\"", "\"r-410a\"");
    let out = decode_with(&mut factors, None, blend.as_bytes());
    assert_eq!((out.received, out.facts.len(), out.facts[0].len()), (1, 1, 2), "one fact");
    let torn = line.replace("\"co2\"", "\"0.5 hfc-32 + 0.4 hfc-125\"");
    let out = decode_with(&mut factors, None, torn.as_bytes());
    assert_eq!((out.facts.len(), out.rejects.len()), (0, 1));
    assert!(out.rejects[0].reason.starts_with("gas: the shares come to 0.9, and not to 1; "));
    let out = decode_with(&mut factors, None, b"null");
    assert_eq!(out.ignored, 1);
    let mut meters = decoder(Carries::Meters);
    let row = br#"{"meter":"m-17","node":"york","kind":"register","unit":"kWh","interval":"15m"}"#;
    assert_eq!(decode_with(&mut meters, None, row).facts.len(), 1);
    let mut nodes = decoder(Carries::Nodes);
    assert_eq!(
        decode_with(&mut nodes, None, br#"{"node":"york","withdrawn":true}"#).facts.len(),
        1
    );
}
