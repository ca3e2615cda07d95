//! Senders of messages over real sockets: each returns when its broker has all of them.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rumqttc::mqttbytes::QoS;
use rumqttc::{Client, Event, Incoming, MqttOptions, PublishOptions};

use super::LIMIT;
use crate::support::{Kafka, Mosquitto};

/// Publishes payloads, each with its topic, with `QoS` 1.
pub(crate) fn mqtt(broker: &Mosquitto, messages: &[(String, Vec<u8>)]) {
    let mut options = MqttOptions::new("publisher", ("127.0.0.1", broker.port()));
    options.set_keep_alive(30);
    let (client, mut connection) = Client::builder(options).capacity(messages.len() + 10).build();
    for (topic, payload) in messages {
        let once = PublishOptions::new(QoS::AtLeastOnce);
        client.publish(topic.as_str(), payload.clone(), once).expect("there is room");
    }
    let mut acked = 0;
    for event in connection.iter() {
        let event = event.expect("the broker stays");
        acked += usize::from(matches!(event, Event::Incoming(Incoming::PubAck(_))));
        if acked == messages.len() {
            return;
        }
    }
}

/// Produces payloads to a partition of a topic.
pub(crate) fn kafka(kafka: &Kafka, topic: &str, partition: i32, payloads: &[String]) {
    let producer: BaseProducer = kafka
        .client()
        .set("compression.codec", "zstd")
        .set("message.timeout.ms", "60000")
        .create()
        .expect("a valid configuration");
    for payload in payloads {
        let record = BaseRecord::<(), str>::to(topic).payload(payload).partition(partition);
        producer.send(record).map_err(|(error, _)| error).expect("there is room");
        producer.poll(Duration::ZERO);
    }
    producer.flush(LIMIT).expect("the broker takes them");
    assert_eq!(producer.in_flight_count(), 0);
}
