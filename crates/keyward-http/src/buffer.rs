//! Read buffers that move between connections, and output that is sent in as few calls as possible.

use std::cell::RefCell;
use std::io::IoSlice;

/// Size of a read buffer, in bytes.
pub(crate) const BLOCK: usize = 16 * 1024;
/// Pieces up to this size are copied behind what is already waiting, so that one `send` takes both.
pub(crate) const COPY_MAX: usize = 4 * 1024;
/// Spare buffers kept per core.
const SPARES: usize = 256;

/// Bytes read and not used yet.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new(size: usize) -> Self {
        Self { bytes: vec![0; size], start: 0, end: 0 }
    }

    /// What was read and not consumed.
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room to read into; empty only if the buffer is full.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// `count` bytes were read into [`Self::space`].
    pub(crate) fn filled_by(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Passes over `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Makes room for at least `size` bytes in all; for heads that do not fit a block.
    pub(crate) fn grow_to(&mut self, size: usize) {
        if self.bytes.len() < size {
            self.bytes.resize(size, 0);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() == self.bytes.len()
    }
}

/// A core's spare read buffers. The one given back last is taken first: it is still in the cache.
#[derive(Default)]
pub(crate) struct Spares(RefCell<Vec<Buffer>>);

impl Spares {
    pub(crate) fn take(&self) -> Buffer {
        self.0.borrow_mut().pop().unwrap_or_else(|| Buffer::new(BLOCK))
    }

    pub(crate) fn give_back(&self, mut buffer: Buffer) {
        let mut spares = self.0.borrow_mut();
        if spares.len() < SPARES && buffer.bytes.len() == BLOCK {
            (buffer.start, buffer.end) = (0, 0);
            spares.push(buffer);
        }
    }
}

/// Output on its way to a socket, in this order: written bytes, one owned block, bytes passed through from the
/// other side's read buffer, and a few fixed bytes after those.
#[derive(Default)]
pub(crate) struct Output {
    written: Vec<u8>,
    written_sent: usize,
    block: Vec<u8>,
    block_sent: usize,
    through: usize,
    after: &'static [u8],
    keep: bool,
}

impl Output {
    /// Where to append. Nothing may be appended while a block or a passage is waiting ([`Self::is_open`]).
    pub(crate) fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.written
    }

    /// Whether more may be appended now.
    pub(crate) fn is_open(&self) -> bool {
        self.through == 0 && self.after.is_empty() && self.block.is_empty() && self.waiting() < BLOCK
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting() == 0 && self.through == 0 && self.after.is_empty()
    }

    /// Bytes that wait here (those passed through not counted).
    pub(crate) fn waiting(&self) -> usize {
        self.written.len() - self.written_sent + self.block.len() - self.block_sent
    }

    /// Appends `bytes`, copying small ones and taking over large ones.
    pub(crate) fn append(&mut self, bytes: Vec<u8>) {
        if bytes.len() <= COPY_MAX {
            self.written.extend_from_slice(&bytes);
        } else {
            self.block = bytes;
            self.block_sent = 0;
        }
    }

    /// Lets the first `count` bytes of the other side's read buffer follow, and `after` after them.
    pub(crate) fn pass_through(&mut self, count: usize, after: &'static [u8]) {
        self.through = count;
        self.after = after;
    }

    /// Nothing was sent of what is here, and all of it is here.
    pub(crate) fn is_untouched(&self) -> bool {
        self.written_sent == 0 && self.block_sent == 0 && self.through == 0
    }

    /// Gives up on everything, and returns how many bytes of the other side's read buffer were passing through.
    pub(crate) fn abandon(&mut self) -> usize {
        let passing = self.through;
        self.reset();
        passing
    }

    /// Keeps what was sent, so that [`Self::rewind`] can send it again.
    pub(crate) fn keep_for_replay(&mut self) {
        self.keep = true;
    }

    /// Starts again from the first kept byte.
    pub(crate) fn rewind(&mut self) {
        (self.written_sent, self.block_sent) = (0, 0);
    }

    /// Forgets everything. The memory stays for the next message, unless it is unusually large.
    pub(crate) fn reset(&mut self) {
        if self.written.capacity() > 4 * BLOCK {
            self.written = Vec::new();
        }
        self.written.clear();
        if !self.block.is_empty() {
            self.block = Vec::new();
        }
        (self.written_sent, self.block_sent) = (0, 0);
        self.through = 0;
        self.after = b"";
        self.keep = false;
    }

    /// All there is to send, if it is written bytes only: the usual case.
    pub(crate) fn only_written(&self) -> Option<&[u8]> {
        let only = self.block.is_empty() && self.through == 0 && self.after.is_empty();
        self.written.get(self.written_sent..).filter(|_| only)
    }

    /// What to send next; `source` is the other side's read buffer.
    pub(crate) fn slices<'a>(&'a self, source: Option<&'a Buffer>) -> ([IoSlice<'a>; 4], usize) {
        let written = self.written.get(self.written_sent..).unwrap_or_default();
        let block = self.block.get(self.block_sent..).unwrap_or_default();
        let through = source.and_then(|s| s.filled().get(..self.through)).unwrap_or_default();
        let mut slices = [IoSlice::new(b""); 4];
        let mut used = 0;
        for part in [written, block, through, self.after] {
            if !part.is_empty()
                && let Some(slot) = slices.get_mut(used)
            {
                *slot = IoSlice::new(part);
                used += 1;
            }
        }
        (slices, used)
    }

    /// `count` bytes were sent.
    pub(crate) fn sent(&mut self, mut count: usize, source: Option<&mut Buffer>) {
        let mut take = |left: usize| {
            let taken = count.min(left);
            count -= taken;
            taken
        };
        self.written_sent += take(self.written.len() - self.written_sent);
        self.block_sent += take(self.block.len() - self.block_sent);
        let passed = take(self.through);
        self.through -= passed;
        if passed > 0
            && let Some(source) = source
        {
            source.consume(passed);
        }
        let after = take(self.after.len());
        self.after = self.after.get(after..).unwrap_or_default();
        if !self.keep && self.waiting() == 0 {
            self.written.clear();
            self.written_sent = 0;
            if !self.block.is_empty() {
                self.block = Vec::new();
                self.block_sent = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bytes: &[u8]) -> Buffer {
        let mut buffer = Buffer::new(64);
        buffer.space()[..bytes.len()].copy_from_slice(bytes);
        buffer.filled_by(bytes.len());
        buffer
    }

    fn send_in_steps(output: &mut Output, source: &mut Buffer, step: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        while !output.is_empty() {
            let (slices, used) = output.slices(Some(source));
            let all: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
            let count = step.min(all.len());
            sent.extend_from_slice(&all[..count]);
            output.sent(count, Some(source));
        }
        sent
    }

    #[test]
    fn parts_leave_in_order_whatever_the_socket_takes() {
        for step in 1..40 {
            let mut output = Output::default();
            let mut source = filled(b"THROUGHrest");
            output.writer().extend_from_slice(b"head|");
            output.block = b"block|".to_vec();
            output.pass_through(7, b"|after");
            assert!(!output.is_open());
            assert_eq!(send_in_steps(&mut output, &mut source, step), b"head|block|THROUGH|after");
            assert_eq!(source.filled(), b"rest");
            assert!(output.is_open() && output.written.is_empty());
        }
    }

    #[test]
    fn kept_output_can_be_sent_again() {
        let mut output = Output::default();
        let mut source = filled(b"");
        output.writer().extend_from_slice(b"request");
        output.keep_for_replay();
        assert_eq!(send_in_steps(&mut output, &mut source, 3), b"request");
        output.rewind();
        assert_eq!(send_in_steps(&mut output, &mut source, 4), b"request");
    }

    #[test]
    fn a_full_buffer_makes_room_for_what_was_consumed() {
        let mut buffer = filled(&[b'x'; 64]);
        assert!(buffer.is_full() && buffer.space().is_empty());
        buffer.consume(60);
        assert_eq!(buffer.space().len(), 60);
        assert_eq!(buffer.filled(), b"xxxx");
        buffer.grow_to(128);
        assert_eq!(buffer.space().len(), 124);
    }
}
