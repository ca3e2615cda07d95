//! How many messages a source may hand over before it is acknowledged, where that is less than asked for.
//!
//! MQTT 5 tells a broker our receive maximum, but brokers have a limit of their own that they keep to
//! themselves (Mosquitto: 20, unless configured). A broker that has reached it waits for us, silently, while
//! we wait for the next commit. So the limit is learned:
//!
//! 1. When a source that owes acknowledgements has been silent for a while, a commit is made early: a probe.
//! 2. If the source goes on as soon as it is acknowledged, it had been waiting: what it had handed over then
//!    is its limit, and from then on a commit is made at half of it.
//! 3. If not, it had nothing to send: the next probe waits twice as long. *So a quiet fleet does not fill
//!    the lake with small files.*
//! 4. A source that hands over more than its learned limit proves it wrong: it is forgotten.

/// First silence that is probed, ms.
const PROBE_FIRST_MS: i64 = 2_000;
/// Longest silence between probes, ms.
const PROBE_MAX_MS: i64 = 60_000;
/// How soon after an acknowledgement a source that had waited goes on, ms.
const PROMPT_MS: i64 = 250;
/// No broker's limit is below; a lone message between two commits teaches nothing.
const LEARNED_MIN: u64 = 8;

/// See the module's documentation. Times are ms of any clock that does not step back.
#[derive(Clone, Debug)]
pub(super) struct AckWindow {
    /// What we asked for; 0 for a source that waits for nobody.
    limit: u64,
    learned: Option<u64>,
    /// Handed over and not in a cut yet.
    held: u64,
    /// Handed over, in a cut, and not acknowledged yet.
    cut: u64,
    last_message_ms: i64,
    silence_ms: i64,
    /// A probe is under way: how much was owed.
    probed: Option<u64>,
    /// When a probe was acknowledged.
    answered_ms: Option<i64>,
}

impl AckWindow {
    /// A source that may hand over `limit` messages, or any number if that is 0.
    #[must_use]
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            learned: None,
            held: 0,
            cut: 0,
            last_message_ms: 0,
            silence_ms: PROBE_FIRST_MS,
            probed: None,
            answered_ms: None,
        }
    }

    /// The source has handed over `messages`.
    pub(super) fn take(&mut self, messages: u64, now_ms: i64) {
        self.held += messages;
        self.last_message_ms = now_ms;
        if let Some(answered_ms) = self.answered_ms.take()
            && let Some(owed) = self.probed.take()
        {
            if now_ms - answered_ms <= PROMPT_MS && owed >= LEARNED_MIN {
                self.learned = Some(owed);
                self.silence_ms = PROBE_FIRST_MS;
            } else {
                self.silence_ms = (self.silence_ms * 2).min(PROBE_MAX_MS);
            }
        }
        if self.learned.is_some_and(|learned| self.held + self.cut > learned) {
            self.learned = None;
        }
    }

    /// Whether a commit should be made for its sake.
    #[must_use]
    pub(super) fn wants_cut(&self, now_ms: i64) -> bool {
        if self.limit == 0 || self.held == 0 {
            return false;
        }
        let limit = self.learned.unwrap_or(self.limit);
        self.held * 2 >= limit || now_ms - self.last_message_ms >= self.silence_ms
    }

    /// A cut covers what it has handed over.
    pub(super) fn cut(&mut self, now_ms: i64) {
        let is_silent = self.held > 0 && now_ms - self.last_message_ms >= self.silence_ms;
        if is_silent && self.probed.is_none() {
            self.probed = Some(self.held + self.cut);
        }
        self.cut += std::mem::take(&mut self.held);
    }

    /// Everything cut so far is acknowledged.
    pub(super) fn acknowledged(&mut self, now_ms: i64) {
        self.cut = 0;
        if self.probed.is_some() {
            self.answered_ms = Some(now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_was_asked_for_is_enough() {
        let mut window = AckWindow::new(1000);
        window.take(499, 0);
        assert!(!window.wants_cut(10));
        window.take(1, 10);
        assert!(window.wants_cut(10));
        window.cut(10);
        assert!(!window.wants_cut(10));
    }

    #[test]
    fn a_broker_that_waits_is_found_out_once() {
        let mut window = AckWindow::new(1000);
        window.take(20, 0);
        assert!(!window.wants_cut(1900));
        assert!(window.wants_cut(2000));
        window.cut(2000);
        window.acknowledged(2100);
        window.take(20, 2110);
        assert!(window.wants_cut(2110), "half of 20 is known to be enough now");
    }

    #[test]
    fn a_quiet_source_is_probed_less_and_less() {
        let mut window = AckWindow::new(1000);
        let (mut now_ms, mut commits) = (0, 0);
        while now_ms < 3_600_000 {
            window.take(1, now_ms);
            now_ms += 30_000;
            if window.wants_cut(now_ms) {
                window.cut(now_ms);
                window.acknowledged(now_ms + 50);
                commits += 1;
            }
        }
        assert!(commits < 70, "one reading every half a minute made {commits} commits an hour");
    }

    #[test]
    fn a_limit_that_was_wrong_is_forgotten() {
        let mut window = AckWindow::new(1000);
        window.take(20, 0);
        window.cut(2000);
        window.acknowledged(2001);
        window.take(1, 2002);
        window.take(30, 2003);
        assert!(!window.wants_cut(2003));
    }

    #[test]
    fn a_file_waits_for_nobody() {
        let mut window = AckWindow::new(0);
        window.take(1_000_000, 0);
        assert!(!window.wants_cut(1_000_000));
    }
}
