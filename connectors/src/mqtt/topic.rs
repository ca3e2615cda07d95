//! Topics with a place for the meter: `meters/{meter}`, `zigbee2mqtt/{meter...}`.
//!
//! `{meter}` is one level and subscribes to `+`; `{meter...}` is all levels that are left, slashes
//! included, and subscribes to `#`. A topic without either names no meter: its payloads have to.

use thiserror::Error;

/// Why a topic cannot be subscribed to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum TopicError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// `$share/...`: the members of a group would share a meter's readings and lose their order.
    #[error("a shared subscription loses the order of a meter's readings")]
    Shared,
    /// `+` or `#`.
    #[error("write {{meter}} for one level and {{meter...}} for the rest instead of a wildcard")]
    Wildcard,
    /// Two places for the meter.
    #[error("it names the meter twice")]
    TwoMeters,
    /// Levels after `{meter...}`.
    #[error("it goes on after {{meter...}}")]
    AfterRest,
    /// `x-{meter}` or `{node}`.
    #[error("a placeholder is a whole level, {{meter}} or {{meter...}}")]
    Placeholder,
}

/// A topic as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Text(String),
    Meter,
    Rest,
}

impl TopicPattern {
    /// Reads a topic with its placeholders.
    ///
    /// # Errors
    /// If a placeholder or a wildcard stands where it cannot.
    pub fn parse(topic: &str) -> Result<Self, TopicError> {
        if topic.is_empty() {
            return Err(TopicError::Empty);
        }
        if topic.starts_with("$share/") {
            return Err(TopicError::Shared);
        }
        if topic.contains(['+', '#']) {
            return Err(TopicError::Wildcard);
        }
        let mut levels = Vec::new();
        for level in topic.split('/') {
            if levels.contains(&Level::Rest) {
                return Err(TopicError::AfterRest);
            }
            levels.push(match level {
                "{meter}" => Level::Meter,
                "{meter...}" => Level::Rest,
                other if other.contains(['{', '}']) => return Err(TopicError::Placeholder),
                other => Level::Text(other.to_owned()),
            });
        }
        if levels.iter().filter(|level| !matches!(level, Level::Text(_))).count() > 1 {
            return Err(TopicError::TwoMeters);
        }
        Ok(Self { levels })
    }

    /// The filter to subscribe to.
    #[must_use]
    pub fn filter(&self) -> String {
        let levels: Vec<&str> = self
            .levels
            .iter()
            .map(|level| match level {
                Level::Text(text) => text,
                Level::Meter => "+",
                Level::Rest => "#",
            })
            .collect();
        levels.join("/")
    }

    /// Whether `topic` is one of them, and the meter it names.
    #[must_use]
    pub fn meter<'t>(&self, topic: &'t str) -> Option<Option<&'t str>> {
        let (mut rest, mut meter) = (Some(topic), None);
        for level in &self.levels {
            let here = rest?;
            let (head, tail) = match here.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (here, None),
            };
            match level {
                Level::Text(text) if text != head => return None,
                Level::Text(_) => {}
                Level::Meter => meter = Some(head),
                Level::Rest => return Some(Some(here)),
            }
            rest = tail;
        }
        if rest.is_some() { None } else { Some(meter) }
    }
}

/// The meter that `topic` names by the first pattern it fits.
pub(crate) fn meter_of<'t>(patterns: &[TopicPattern], topic: &'t str) -> Option<&'t str> {
    patterns.iter().find_map(|pattern| pattern.meter(topic)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_name_their_meter() {
        for (pattern, filter, topic, meter) in [
            ("meters/{meter}", "meters/+", "meters/m-17", Some(Some("m-17"))),
            ("meters/{meter}", "meters/+", "meters/a/b", None),
            ("meters/{meter}", "meters/+", "meters", None),
            ("z/{meter...}", "z/#", "z/floor 1/lamp", Some(Some("floor 1/lamp"))),
            ("{meter}/power", "+/power", "m-1/power", Some(Some("m-1"))),
            ("{meter}/power", "+/power", "m-1/energy", None),
            ("{meter...}", "#", "a/b", Some(Some("a/b"))),
            ("/milesight/{meter}", "/milesight/+", "/milesight/x", Some(Some("x"))),
            ("all", "all", "all", Some(None)),
        ] {
            let parsed = TopicPattern::parse(pattern).unwrap();
            assert_eq!(parsed.filter(), filter);
            assert_eq!(parsed.meter(topic), meter, "{pattern} {topic}");
        }
    }

    #[test]
    fn what_cannot_be_subscribed_to_is_refused() {
        for (topic, error) in [
            ("", TopicError::Empty),
            ("$share/g/meters/{meter}", TopicError::Shared),
            ("meters/+", TopicError::Wildcard),
            ("meters/#", TopicError::Wildcard),
            ("{meter}/{meter}", TopicError::TwoMeters),
            ("{meter}/{meter...}", TopicError::TwoMeters),
            ("{meter...}/power", TopicError::AfterRest),
            ("meter-{meter}", TopicError::Placeholder),
            ("{node}/x", TopicError::Placeholder),
        ] {
            assert_eq!(TopicPattern::parse(topic), Err(error), "{topic}");
        }
    }
}
