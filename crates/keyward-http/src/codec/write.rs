//! Numbers and status lines, written without the formatting machinery: they are part of every answer.

/// Appends `number` in decimal.
pub(crate) fn push_decimal(out: &mut Vec<u8>, number: u64) {
    push_digits(out, number, 10);
}

/// Appends the size line of a chunk of `size` bytes.
pub(crate) fn push_chunk_size(out: &mut Vec<u8>, size: usize) {
    push_digits(out, size as u64, 16);
    out.extend_from_slice(b"\r\n");
}

fn push_digits(out: &mut Vec<u8>, mut number: u64, base: u64) {
    let mut digits = [0u8; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        let digit = (number % base) as u8;
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        used += 1;
        number /= base;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// Appends `HTTP/1.1 <status> <reason>` with its CRLF.
pub(crate) fn push_status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    if status == 200 && reason == "OK" {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The registered reason phrase, or an empty one.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers_as_the_formatter_would() {
        for number in [0u64, 1, 9, 10, 255, 4096, 65_535, u64::MAX] {
            let mut decimal = Vec::new();
            push_decimal(&mut decimal, number);
            assert_eq!(decimal, number.to_string().into_bytes());
        }
        for size in [1usize, 15, 16, 4096, usize::MAX] {
            let mut line = Vec::new();
            push_chunk_size(&mut line, size);
            assert_eq!(line, format!("{size:x}\r\n").into_bytes());
        }
    }

    #[test]
    fn writes_status_lines() {
        let mut out = Vec::new();
        push_status_line(&mut out, 200, "OK");
        push_status_line(&mut out, 404, reason(404));
        push_status_line(&mut out, 299, reason(299));
        assert_eq!(out, b"HTTP/1.1 200 OK\r\nHTTP/1.1 404 Not Found\r\nHTTP/1.1 299 \r\n");
    }
}
