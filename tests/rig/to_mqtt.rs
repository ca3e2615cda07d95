//! Publishes with `QoS` 1 to a broker that may be restarted.
//!
//! 1. Every message is held until its PUBACK has come. A broker acknowledges messages in the order in which they
//!    came, so the oldest one that is held is the one acknowledged.
//! 2. A connection that ends is followed by one of a new client: on it, all that is held is published again,
//!    in order, before anything new. *The library alone would drop it where the broker has no session of ours.*
//! 3. What counts is what was acknowledged. A message that the broker took without our hearing of it comes to
//!    the pipeline twice: a duplicate like others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::{Client, Connection, Event, Incoming, MqttOptions, PubAckReason, PublishOptions};

use super::LIMIT;
use super::stream::Outlet;
use super::traffic::Message;
use crate::support::Mosquitto;
use crate::support::process::{answers, wait_until};

/// Publishes the broker has not acknowledged yet.
const INFLIGHT_MAX: u16 = 1_000;
/// Messages that may wait for the library: a minute of them, and no broker is away for longer.
const UNSENT_MAX: usize = 120_000;
/// Between two looks at whether the broker is back.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// See the module's documentation.
pub(crate) struct ToMqtt {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    client: Client,
    /// Topic and payload of what is not acknowledged, the oldest first.
    held: VecDeque<(String, String)>,
    acked: u64,
    is_over: bool,
}

impl ToMqtt {
    /// Connects to a broker at which the pipeline has a session already.
    pub(crate) fn new(broker: &Mosquitto) -> Self {
        let port = broker.port();
        let (client, mut connection) = connect(port);
        let shared = Shared { client, held: VecDeque::new(), acked: 0, is_over: false };
        let shared = Arc::new(Mutex::new(shared));
        let both = Arc::clone(&shared);
        thread::spawn(move || {
            loop {
                serve(&mut connection, &both);
                while !lock(&both).is_over && !answers(port) {
                    thread::sleep(LOOK_EVERY);
                }
                let mut shared = lock(&both);
                if shared.is_over {
                    return;
                }
                (shared.client, connection) = connect(port);
                shared.held.iter().for_each(|message| publish(&shared.client, message));
            }
        });
        Self { shared }
    }
}

impl Outlet for ToMqtt {
    fn send(&mut self, message: &Message) {
        let message = (format!("meters/{}", message.meter), message.line.clone());
        let mut shared = lock(&self.shared);
        publish(&shared.client, &message);
        shared.held.push_back(message);
    }

    fn finish(self, count: u64) {
        wait_until("the broker to have all readings", LIMIT, || lock(&self.shared).acked == count);
        let mut shared = lock(&self.shared);
        shared.is_over = true;
        shared.client.disconnect().expect("it is connected");
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("nobody panics while holding it")
}

fn connect(port: u16) -> (Client, Connection) {
    let mut options = MqttOptions::new("gateways", ("127.0.0.1", port));
    options.set_keep_alive(30);
    options.set_outgoing_inflight_upper_limit(INFLIGHT_MAX);
    Client::builder(options).capacity(UNSENT_MAX).build()
}

/// Hands a message to the library. Where its connection has just ended, the next one will have it.
fn publish(client: &Client, (topic, payload): &(String, String)) {
    let once = PublishOptions::new(QoS::AtLeastOnce);
    drop(client.publish(topic.as_str(), payload.clone(), once));
}

/// Takes acknowledgements until the connection ends.
fn serve(connection: &mut Connection, shared: &Mutex<Shared>) {
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Incoming::PubAck(ack))) => {
                // Without a session of the pipeline the broker would drop it, and nobody had lost it.
                assert_eq!(ack.reason, PubAckReason::Success, "the session is there");
                let mut shared = lock(shared);
                shared.held.pop_front().expect("it was published");
                shared.acked += 1;
            }
            Ok(_) => {}
            // Disconnected by us, or the broker is restarted.
            Err(_) => return,
        }
    }
}
