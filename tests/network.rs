//! A network that fails between us and a broker, or the store, loses nothing and duplicates nothing.
//!
//! ```text
//!   Traffic ──► broker ◄──► Proxy ◄──► plumeline run ◄──► Proxy ◄──► S3 ══ batch reference
//!                             ▲ slow, cut, silent, half silent, in crumbs ▲
//! ```
//!
//! 1. The publisher is connected to the broker itself: all it sends is acknowledged, whatever becomes of us.
//! 2. The pipeline is connected through a [`Proxy`]. Each spell of bad weather is a list of faults, one
//!    after the other; after it everything passes, and the pipeline must receive, or commit, again.
//! 3. The process runs on all the time: it has to find out by itself.
//! 4. In the end its ledger is judged ([`rig::verdict`]).

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use plumeline_fixtures::random::SplitMix64;
use rig::kill::seed;
use rig::stream::{Outlet, Stream, ToKafka};
use rig::to_mqtt::ToMqtt;
use rig::traffic::{Facts, Traffic};
use rig::verdict::judge;
use rig::{LIMIT, Rig, Running};
use support::process::{free_port, wait_until};
use support::proxy::{Fault, Proxy, Way};
use support::s3::S3;
use support::{Kafka, Mosquitto};

const SOURCE: &str = "plant";
const TOPIC: &str = "readings";

/// Bad weather. A reset before a silence makes us connect into the silence.
const SPELLS: [&[Fault]; 8] = [
    &[Fault::Latency(Duration::from_millis(40))],
    &[Fault::Reset],
    &[Fault::BlackHole],
    &[Fault::Reset, Fault::BlackHole],
    &[Fault::HalfOpen(Way::ToServer)],
    &[Fault::HalfOpen(Way::ToClient)],
    &[Fault::Slices],
    &[Fault::Slices, Fault::Reset, Fault::HalfOpen(Way::ToClient)],
];

/// Lets all spells come over `proxy` while traffic flows to `outlet`, and judges what has become of it. After each
/// spell `gone` must grow.
fn weather(
    (rig, running): (&Rig, Running),
    proxy: &Proxy,
    facts: &Facts,
    outlet: impl Outlet,
    gone: fn(&Running) -> u64,
) {
    let seed = seed();
    let mut dice = SplitMix64::part(seed, 1);
    wait_until("the source to be connected", LIMIT, || {
        let labels = [("source", SOURCE)];
        running.metric("plumeline_source_connected", &labels).as_deref() == Some("1")
    });
    let stream = Stream::start(Traffic::new(SplitMix64::part(seed, 0)), 1, outlet);
    for spell in SPELLS {
        eprintln!("weather: {spell:?}");
        for fault in spell {
            proxy.set(*fault);
            // How long a fault lasts is the network's choice.
            thread::sleep(Duration::from_millis(dice.between(300, 1_200).unsigned_abs()));
        }
        proxy.set(Fault::Pass);
        let before = gone(&running);
        wait_until("it to go on", LIMIT, || gone(&running) > before);
    }
    let traffic = stream.finish();
    judge(rig, running, (&traffic, 1), facts);
}

fn received(running: &Running) -> u64 {
    ["booked", "duplicate", "parked"].iter().map(|outcome| running.outcome(SOURCE, outcome)).sum()
}

/// The cut that `activity` holds, s.
fn committed(running: &Running) -> u64 {
    let at = running.metric("plumeline_commit_timestamp_seconds", &[("table", "activity")]);
    at.and_then(|at| at.split('.').next()?.parse().ok()).unwrap_or(0)
}

/// Facts in which every meter is registered, and the rig of a pipeline with this source.
fn set_up(source: &str) -> (Facts, Rig) {
    let mut facts = Facts::new();
    let rig = facts.rig(&format!("[[source]]\nname = \"{SOURCE}\"\n{source}"));
    facts.register_late(&rig);
    (facts, rig)
}

#[test]
fn readings_over_mqtt_are_in_the_ledger_once_whatever_the_network_does() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    let proxy = Proxy::to(broker.port());
    let (facts, rig) = set_up(&format!(
        "type = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\ntopics = [\"meters/{{meter}}\"]\n",
        proxy.port()
    ));
    weather((&rig, rig.run()), &proxy, &facts, ToMqtt::new(&broker), received);
}

#[test]
fn readings_are_in_a_ledger_on_s3_once_whatever_the_network_does() {
    let (Some(broker), Some(s3)) = (Mosquitto::start(), S3::start()) else {
        return;
    };
    let proxy = Proxy::to(s3.bucket().port());
    let (facts, mut rig) = set_up(&format!(
        "type = \"mqtt\"\nurl = \"{}\"\ntopics = [\"meters/{{meter}}\"]\n",
        broker.url()
    ));
    rig.put_lake_in(s3.bucket());
    // The last word counts: the program goes through the proxy, the judge does not.
    let running = rig.run_in(&[("AWS_ENDPOINT", format!("http://127.0.0.1:{}", proxy.port()))]);
    weather((&rig, running), &proxy, &facts, ToMqtt::new(&broker), committed);
}

#[test]
fn readings_over_kafka_are_in_the_ledger_once_whatever_the_network_does() {
    let proxy = Proxy::to(free_port());
    let Some(kafka) = Kafka::start_behind(Some(&proxy)) else {
        return;
    };
    kafka.create_topic(TOPIC, 1);
    let (facts, rig) = set_up(&format!(
        "type = \"kafka\"\nbrokers = [\"127.0.0.1:{}\"]\ntopics = [\"{TOPIC}\"]\n",
        proxy.port()
    ));
    weather((&rig, rig.run()), &proxy, &facts, ToKafka::new(&kafka, TOPIC), received);
}

/// Sends everything back, to any number of clients.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            // An error is the end of a connection that was cut.
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    port
}

/// A connection through a proxy, which gives up a read after a while.
fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream
}

/// Whether `stream` gives back what it is sent; `None` while it says nothing, `false` once it has ended.
fn answers(mut stream: &TcpStream) -> Option<bool> {
    let sent: Vec<u8> = (0..=255).collect();
    let mut got = vec![0; sent.len()];
    let result = stream.write_all(&sent).and_then(|()| stream.read_exact(&mut got));
    match result.map_err(|error| error.kind()) {
        Ok(()) => Some(got == sent),
        Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(_) => Some(false),
    }
}

#[test]
fn the_proxy_does_what_it_says() {
    let proxy = Proxy::to(echo());
    for fault in [Fault::Pass, Fault::Latency(Duration::from_millis(20)), Fault::Slices] {
        proxy.set(fault);
        let stream = connect(&proxy);
        assert_eq!(answers(&stream), Some(true), "{fault:?}");
        proxy.set(Fault::Reset);
        assert_eq!(answers(&stream), Some(false), "{fault:?}, then cut");
        assert_eq!(answers(&connect(&proxy)), Some(false), "a new one is cut at once");
    }
    for fault in [Fault::BlackHole, Fault::HalfOpen(Way::ToServer), Fault::HalfOpen(Way::ToClient)]
    {
        proxy.set(Fault::Pass);
        let old = connect(&proxy);
        assert_eq!(answers(&old), Some(true));
        proxy.set(fault);
        assert_eq!(answers(&old), None, "{fault:?}");
        let new = connect(&proxy);
        assert_eq!(answers(&new), None, "{fault:?}, for those that come now");
        proxy.set(Fault::Pass);
        for stream in [old, new] {
            wait_until("a stream with a hole to end", LIMIT, || answers(&stream) == Some(false));
        }
    }
}
