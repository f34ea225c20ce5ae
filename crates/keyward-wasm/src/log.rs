//! What a plugin says in the node's log: bounded in length and rate, printable, without its secrets.

use std::time::Instant;

use crate::configuration::Configuration;
use crate::limits::Limits;
use crate::running::Common;

/// How much a line matters, in the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// 0
    Trace,
    /// 1
    Debug,
    /// 2
    Info,
    /// 3
    Warn,
    /// 4
    Error,
    /// 5
    Critical,
}

impl LogLevel {
    pub(crate) fn of(number: u32) -> Option<Self> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical]
            .into_iter()
            .find(|level| level.number() == number)
    }

    pub(crate) fn number(self) -> u32 {
        self as u32
    }
}

/// Writes for one instance.
pub(crate) struct Log {
    level: LogLevel,
    allowance: Allowance,
    left_out: u64,
    /// What was written to standard output and error and has no end of line yet.
    begun: [Vec<u8>; 2],
}

impl Log {
    pub(crate) fn new(level: LogLevel, limits: &Limits) -> Self {
        let allowance = Allowance::per_second(limits.logs_per_second);
        Self { level, allowance, left_out: 0, begun: [Vec::new(), Vec::new()] }
    }

    pub(crate) fn level(&self) -> LogLevel {
        self.level
    }

    /// Writes one line. Returns whether it was left out because there were too many.
    pub(crate) fn line(&mut self, level: LogLevel, text: &[u8], common: &Common) -> bool {
        if level < self.level {
            return false;
        }
        if !self.allowance.take(Instant::now()) {
            self.left_out += 1;
            return true;
        }
        let (plugin, account) = (&*common.name, &*common.account);
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            tracing::warn!(target: "plugin", plugin, account, "{left_out} lines were left out: there were too many");
        }
        let text = printable(text, &common.configuration, common.limits.log_bytes_max);
        match level {
            LogLevel::Trace => tracing::trace!(target: "plugin", plugin, account, "{text}"),
            LogLevel::Debug => tracing::debug!(target: "plugin", plugin, account, "{text}"),
            LogLevel::Info => tracing::info!(target: "plugin", plugin, account, "{text}"),
            LogLevel::Warn => tracing::warn!(target: "plugin", plugin, account, "{text}"),
            LogLevel::Error => tracing::error!(target: "plugin", plugin, account, "{text}"),
            LogLevel::Critical => {
                tracing::error!(target: "plugin", plugin, account, critical = true, "{text}")
            }
        }
        false
    }

    /// What was written to standard output (`false`) or error (`true`): kept until its line has an end, or is longer
    /// than `bytes_max`. Returns the line if it is to be written now.
    pub(crate) fn write(&mut self, error: bool, bytes: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let [output, errors] = &mut self.begun;
        let begun = if error { errors } else { output };
        // One more byte than may be kept tells that it was cut.
        let room = bytes_max.saturating_add(1).saturating_sub(begun.len());
        begun.extend(bytes.iter().take(room));
        let ended = bytes.ends_with(b"\n") || begun.len() > bytes_max;
        ended.then(|| trimmed(std::mem::take(begun)))
    }

    /// What was begun and not ended, at the end of a callback.
    pub(crate) fn rest(&mut self, error: bool) -> Option<Vec<u8>> {
        let [output, errors] = &mut self.begun;
        let begun = if error { errors } else { output };
        (!begun.is_empty()).then(|| trimmed(std::mem::take(begun)))
    }
}

fn trimmed(mut line: Vec<u8>) -> Vec<u8> {
    let end = line.trim_ascii_end().len();
    line.truncate(end);
    line
}

/// `text` without secrets, cut to `bytes_max`, with control characters escaped.
pub(crate) fn printable(text: &[u8], configuration: &Configuration, bytes_max: usize) -> String {
    let longest = configuration.longest();
    let window = bytes_max.saturating_add(longest);
    let cut = text.len() > window;
    let mut clean = text.get(..window).unwrap_or(text).to_vec();
    configuration.hide(&mut clean);
    if cut {
        // The end of the window may be the beginning of a secret.
        clean.truncate(clean.len().saturating_sub(longest));
    }
    let too_long = cut || clean.len() > bytes_max;
    clean.truncate(bytes_max);
    let mut line = String::with_capacity(clean.len());
    for char in String::from_utf8_lossy(&clean).chars() {
        if char.is_control() || is_directing(char) {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
    if too_long {
        line.push('…');
    }
    line
}

/// Line and paragraph separators, and what turns the direction of writing.
fn is_directing(char: char) -> bool {
    matches!(char, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// So many at once, and so many per second afterwards.
pub(crate) struct Allowance {
    per_second: u32,
    left: f64,
    since: Option<Instant>,
}

impl Allowance {
    pub(crate) fn per_second(per_second: u32) -> Self {
        Self { per_second, left: f64::from(per_second), since: None }
    }

    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let rate = f64::from(self.per_second);
        let passed = self.since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
        self.since = Some(now);
        self.left = (self.left + passed * rate).min(rate);
        let there = self.left >= 1.0;
        if there {
            self.left -= 1.0;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(text: &str, secrets: &[&str], bytes_max: usize) -> String {
        let configuration = Configuration::new(Vec::new(), secrets.iter().map(|s| s.as_bytes().to_vec()));
        printable(text.as_bytes(), &configuration, bytes_max)
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(line("a\nb\u{1b}[31m\u{0}\u{202e}", &[], 100), "a\\nb\\u{1b}[31m\\u{0}\\u{202e}");
        assert_eq!(printable(b"\xff\xfe", &Configuration::new(Vec::new(), []), 10), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        assert_eq!(line("abcdef", &[], 4), "abcd…");
        assert_eq!(line("abcd", &[], 4), "abcd");
    }

    #[test]
    fn a_secret_on_the_cut_is_not_told_in_part() {
        for at in 0..40 {
            let text = format!("{}s3cret-s3cret{}", ".".repeat(at), ".".repeat(40));
            for bytes_max in 0..60 {
                let line = line(&text, &["s3cret-s3cret"], bytes_max);
                assert!(!line.contains("s3"), "at {at}, cut at {bytes_max}: {line}");
            }
        }
    }

    #[test]
    fn an_allowance_is_used_up_and_comes_back_with_time() {
        let now = Instant::now();
        let mut allowance = Allowance::per_second(2);
        assert!(allowance.take(now) && allowance.take(now) && !allowance.take(now));
        assert!(allowance.take(now + Duration::from_millis(501)));
        assert!(!allowance.take(now + Duration::from_millis(502)));
    }
}
