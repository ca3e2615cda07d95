//! The servers that tests stand on do what they are there for: sessions outlive a broker's restart,
//! every compression is read back, a conditional write is refused, and nothing is left running.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use rumqttc::mqttbytes::QoS;
use rumqttc::{BrokerSessionResumePolicy, Client, Event, Incoming, MqttOptions, PublishOptions};
use support::process::{Process, answers, free_port, wait_until};
use support::s3::S3;
use support::{Kafka, Mosquitto};

const LIMIT: Duration = Duration::from_mins(1);

/// Connects, does `first`, and returns the payloads of the first `count` publishes.
fn receive(port: u16, id: &str, count: usize, first: impl FnOnce(&Client)) -> Vec<Vec<u8>> {
    let mut options = MqttOptions::new(id, ("127.0.0.1", port));
    // A new process knows nothing of the session that the broker kept for it.
    options
        .set_clean_start(false)
        .set_session_expiry_interval(Some(3600))
        .set_broker_session_resume_policy(BrokerSessionResumePolicy::AllowBrokerOnly);
    let (client, mut connection) = Client::builder(options).capacity(100).build();
    first(&client);
    let mut payloads = Vec::new();
    for event in connection.iter() {
        match event.expect("the broker stays") {
            Event::Incoming(Incoming::Publish(publish)) => payloads.push(publish.payload.to_vec()),
            Event::Incoming(Incoming::SubAck(_)) if count == 0 => break,
            _ => {}
        }
        if count > 0 && payloads.len() == count {
            break;
        }
    }
    payloads
}

fn publish(port: u16, payloads: &[&str]) {
    let options = MqttOptions::new("publisher", ("127.0.0.1", port));
    let (client, mut connection) = Client::builder(options).capacity(100).build();
    for payload in payloads {
        let once = PublishOptions::new(QoS::AtLeastOnce);
        client.publish("meters/m-1", payload.as_bytes().to_vec(), once).unwrap();
    }
    let mut acked = 0;
    for event in connection.iter() {
        acked += usize::from(matches!(event.unwrap(), Event::Incoming(Incoming::PubAck(_))));
        if acked == payloads.len() {
            break;
        }
    }
}

#[test]
fn a_session_outlives_the_restart_of_mosquitto() {
    let Some(mut broker) = Mosquitto::start() else {
        return;
    };
    let port = broker.port();
    receive(port, "subscriber", 0, |client| {
        client.subscribe("meters/+", QoS::AtLeastOnce).unwrap();
    });
    publish(port, &["1", "2", "3"]);
    broker.stop();
    assert!(!answers(port));
    broker.start_again();
    let payloads = receive(port, "subscriber", 3, |_| {});
    assert_eq!(payloads, [b"1", b"2", b"3"]);
}

#[test]
fn kafka_keeps_what_was_produced_in_every_compression_and_over_a_crash() {
    let Some(mut kafka) = Kafka::start() else {
        return;
    };
    kafka.create_topic("activities", 4);
    let codecs = ["gzip", "snappy", "lz4", "zstd"];
    for (partition, codec) in (0..).zip(codecs) {
        let producer: BaseProducer =
            kafka.client().set("compression.codec", codec).set("linger.ms", "50").create().unwrap();
        for number in 0..100 {
            let payload = format!("{codec} {number}");
            let record = BaseRecord::<(), str>::to("activities").payload(&payload);
            producer.send(record.partition(partition)).unwrap();
        }
        producer.flush(LIMIT).unwrap();
    }
    kafka.process().kill();
    kafka.start_again();
    let consumer: BaseConsumer =
        kafka.client().set("group.id", "test").set("enable.auto.commit", "false").create().unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..4 {
        assignment.add_partition_offset("activities", partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    wait_until("400 messages", LIMIT, || {
        // An error here is the broker still waking up; the wait decides.
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            let text = String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
            *counts.entry(text.split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
        counts.values().sum::<usize>() == 400
    });
    assert!(codecs.iter().all(|codec| counts[*codec] == 100), "{counts:?}");
    kafka.grow_topic("activities", 6);
}

#[test]
fn s3_has_its_bucket() {
    let Some(s3) = S3::start() else { return };
    assert!(s3.bucket().list("").is_empty());
}

#[test]
fn python_reads_tables() {
    let Some(python) = support::python() else {
        return;
    };
    let imports =
        "import duckdb, deltalake, pyarrow; print(duckdb.sql('select 6*7').fetchall()[0][0])";
    let output = Command::new(python).args(["-c", imports]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "42", "{output:?}");
}

#[test]
fn promtool_is_silent_about_good_metrics() {
    let Some(promtool) = support::promtool() else {
        return;
    };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let metrics = b"# HELP a_grams What it is.\n# TYPE a_grams gauge\na_grams 1\n";
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), metrics).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_process_obeys_and_does_not_outlive_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let alive = folder.path().join("alive");
    let script = format!("echo $$ > {}; exec sleep 1000", alive.display());
    let command = ["sh".to_owned(), "-c".to_owned(), script];
    let log = folder.path().join("log");
    let written = || std::fs::read_to_string(&alive).is_ok_and(|pid| pid.ends_with('\n'));
    let process = Process::start(&command, &log, written);
    let pid = std::fs::read_to_string(&alive).unwrap().trim().to_owned();
    let lives = || std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(lives());
    drop(process);
    assert!(!lives(), "killed with its value");

    std::fs::remove_file(&alive).unwrap();
    let mut process = Process::start(&command, &log, written);
    process.signal("STOP");
    process.signal("CONT");
    assert!(!process.stop().success(), "ended by a signal");
    assert!(!answers(free_port()));
}
