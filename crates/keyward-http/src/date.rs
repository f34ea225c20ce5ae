//! The `Date` field, written once a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `Date: Sun, 06 Nov 1994 08:49:37 GMT` with its CRLF.
pub(crate) type DateLine = [u8; 37];

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The field line for `now`.
pub(crate) fn date_line(now: SystemTime) -> DateLine {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut line = *b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = line.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(6, DAYS.get((days % 7) as usize).copied().unwrap_or(b"Thu"));
    put(11, &two_digits(day));
    put(14, MONTHS.get(month as usize).copied().unwrap_or(b"Jan"));
    put(18, &two_digits(year / 100));
    put(20, &two_digits(year % 100));
    put(23, &two_digits(second / 3600));
    put(26, &two_digits(second / 60 % 60));
    put(29, &two_digits(second % 60));
    line
}

fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// Year, month (0 to 11) and day of the month of a day since 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that the leap day is the last of its year; 719,468 days lie between
    // 0000-03-01 and 1970-01-01, and 146,097 days make 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_dates_as_mail_does() {
        for (seconds, expected) in [
            (0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            (784_111_777, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            (951_782_400, "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\n"),
            (1_735_689_599, "Date: Tue, 31 Dec 2024 23:59:59 GMT\r\n"),
            (4_107_542_400, "Date: Mon, 01 Mar 2100 00:00:00 GMT\r\n"),
        ] {
            let line = date_line(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(String::from_utf8_lossy(&line), expected);
        }
    }
}
