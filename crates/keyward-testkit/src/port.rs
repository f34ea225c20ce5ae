//! Ports of servers that a test stops and starts again at the same address.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that systems give to whoever asks for any: nobody takes such a port while its server is down.
const RANGE: std::ops::Range<u32> = 20_000..32_000;

/// A port that is free, and stays so.
///
/// # Panics
/// If there is none.
pub(crate) fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // Tests run in processes beside each other: each begins elsewhere.
    let begin = std::process::id().wrapping_mul(131);
    let length = RANGE.end - RANGE.start;
    let ports = (0..length).map(|_| {
        let number = begin.wrapping_add(ASKED.fetch_add(1, Ordering::SeqCst));
        u16::try_from(RANGE.start + number % length).expect("a port")
    });
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.into_iter().find(is_free).expect("a port that is free")
}
