//! Where a head (or a trailer section) ends, found while its bytes arrive.

use memchr::memchr;

use super::Fault;

/// Looks for the empty line, remembering how far it has looked, so that a head that arrives byte by byte is not
/// scanned again and again. A line that ends in anything but CRLF is a fault as soon as it is seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeadEnd {
    line_start: usize,
    scanned: usize,
}

impl HeadEnd {
    /// The length of the head that `bytes` starts with, once its empty line is there. An empty first line counts:
    /// the answer is then 2. `bytes` must start where they started last time.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        while let Some(distance) = memchr(b'\n', bytes.get(self.scanned..).unwrap_or_default()) {
            let lf = self.scanned + distance;
            let before = lf.checked_sub(1).filter(|at| *at >= self.line_start);
            match before.and_then(|at| bytes.get(at)) {
                Some(b'\r') => {}
                _ => return Err("a line ends in LF without CR"),
            }
            if lf == self.line_start + 1 {
                return Ok(Some(lf + 1));
            }
            self.line_start = lf + 1;
            self.scanned = lf + 1;
        }
        self.check_unfinished_line(bytes)
    }

    /// Nothing of this head was looked at yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.scanned == 0
    }

    /// True until the first line is complete.
    pub(crate) fn in_first_line(&self) -> bool {
        self.line_start == 0
    }

    /// The bytes of a line that is not complete yet: control characters in it can be refused at once, so that
    /// nobody waits for an end that never comes.
    fn check_unfinished_line(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let new = bytes.get(self.scanned..).unwrap_or_default();
        let (last, inner) = match new.split_last() {
            Some((b'\r', inner)) => (1, inner),
            _ => (0, new),
        };
        if inner.contains(&b'\r') {
            return Err("a CR is not followed by LF");
        }
        if inner.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) {
            return Err("a head holds a control character");
        }
        // A CR at the very end is looked at again, together with what follows it.
        self.scanned = bytes.len() - last;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in_steps(bytes: &[u8], step: usize) -> Result<Option<usize>, Fault> {
        let mut end = HeadEnd::default();
        let mut seen = 0;
        loop {
            seen = (seen + step).min(bytes.len());
            match end.find(&bytes[..seen]) {
                Ok(None) if seen < bytes.len() => {}
                answer => return answer,
            }
        }
    }

    #[test]
    fn every_way_of_arriving_gives_the_same_end() {
        let cases: [(&[u8], Result<Option<usize>, ()>); 12] = [
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", Ok(Some(27))),
            (b"GET / HTTP/1.1\r\n\r\n", Ok(Some(18))),
            (b"\r\nGET", Ok(Some(2))),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", Ok(None)),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r", Ok(None)),
            (b"GET / HTTP/1.1\nHost: a\n\n", Err(())),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Err(())),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Err(())),
            (b"\n", Err(())),
            (b"GET / HTTP/1.1\rHost", Err(())),
            (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r", Err(())),
            (b"GET /\0 HTTP", Err(())),
        ];
        for (bytes, expected) in cases {
            for step in 1..=bytes.len() {
                let found = find_in_steps(bytes, step);
                // A CR inside a complete line is the field parser's to refuse: it sees every complete head.
                let found = found.map_err(drop);
                assert!(
                    found == expected || (expected.is_err() && found == Ok(None)),
                    "{:?} in steps of {step}: {found:?}",
                    String::from_utf8_lossy(bytes)
                );
            }
        }
    }
}
