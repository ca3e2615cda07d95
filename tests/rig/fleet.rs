//! What a simulated fleet sends, as the lines of files: one file for each source of the demo's pipeline.

use std::fmt::Write;

use plumeline_fixtures::fleet::{Channel, Fleet, What};

/// JSON lines, and a table with what was added to it.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Over MQTT. Each line names its meter, which a message leaves to its topic.
    pub(crate) gateways: String,
    /// Over Kafka: activities.
    pub(crate) activities: String,
    /// Over Kafka: factors.
    pub(crate) factors: String,
    /// `meters.csv` as it is in the end.
    pub(crate) meters: String,
}

/// Everything that `fleet` sends.
pub(crate) fn sent(fleet: &Fleet) -> Sent {
    let mut sent = Sent { meters: fleet.meters_csv(), ..Sent::default() };
    for message in fleet.messages() {
        let Ok(text) = String::from_utf8(message.payload) else {
            continue;
        };
        let (lines, text) = match message.channel {
            Channel::Mqtt { topic } => {
                // One that disagrees with its topic is the MQTT tests' business.
                if message.what == What::Bad && text.contains("somebody-else") {
                    continue;
                }
                let meter = topic.rsplit('/').next().expect("a topic has a last level");
                let named = format!(r#"{{"meter":"{meter}","observed_at""#);
                (&mut sent.gateways, text.replace(r#"{"observed_at""#, &named))
            }
            Channel::Kafka { topic: "factors", .. } => (&mut sent.factors, text),
            Channel::Kafka { .. } => (&mut sent.activities, text),
            Channel::Table { .. } => (&mut sent.meters, text.trim_end().to_owned()),
        };
        writeln!(lines, "{text}").expect("a String takes any text");
    }
    sent
}
