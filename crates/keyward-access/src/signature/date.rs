//! Moments as callers write them: milliseconds since 1970, and the HTTP date.

use keyward_model::Timestamp;

const DAY_NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTH_NAMES: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_S: i64 = 86_400;

/// Milliseconds since 1970, in exactly 13 digits: any other length is another unit, and units are not guessed.
pub(super) fn read_millis(text: &[u8]) -> Option<Timestamp> {
    (text.len() == 13).then(|| digits(text)).flatten().map(Timestamp::from_millis)
}

/// An HTTP date as RFC 1123 has it: `Mon, 19 Mar 2018 12:08:40 GMT`, and no other form.
pub(super) fn read_http_date(text: &[u8]) -> Option<Timestamp> {
    let (week_day, rest) = text.split_first_chunk::<3>()?;
    let rest = rest.strip_prefix(b", ")?;
    let (day, rest) = rest.split_first_chunk::<2>()?;
    let (month, rest) = rest.strip_prefix(b" ")?.split_first_chunk::<3>()?;
    let (year, rest) = rest.strip_prefix(b" ")?.split_first_chunk::<4>()?;
    let (hour, rest) = rest.strip_prefix(b" ")?.split_first_chunk::<2>()?;
    let (minute, rest) = rest.strip_prefix(b":")?.split_first_chunk::<2>()?;
    let (second, rest) = rest.strip_prefix(b":")?.split_first_chunk::<2>()?;
    if rest != b" GMT" {
        return None;
    }
    let month = MONTH_NAMES.iter().position(|name| name.as_bytes() == month)?;
    let days = days_since_1970(digits(year)?, month as i64 + 1, digits(day)?)?;
    let (hour, minute, second) = (digits(hour)?, digits(minute)?, digits(second)?);
    let named = DAY_NAMES.iter().position(|name| name.as_bytes() == week_day)?;
    let in_range = hour < 24 && minute < 60 && second < 60 && week_day_of(days) == named;
    in_range.then(|| Timestamp::from_millis((days * DAY_S + hour * 3600 + minute * 60 + second) * 1000))
}

/// A moment as an HTTP date; the fraction of a second is dropped.
pub(super) fn write_http_date(at: Timestamp) -> String {
    let seconds = at.as_millis().div_euclid(1000);
    let (days, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
    let (year, month, day) = civil(days);
    let name = |names: &[&'static str], at: usize| names.get(at).copied().unwrap_or_default();
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        name(&DAY_NAMES, week_day_of(days)),
        name(&MONTH_NAMES, usize::try_from(month - 1).unwrap_or_default()),
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0_i64, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn week_day_of(days: i64) -> usize {
    // 1970-01-01 was a Thursday.
    usize::try_from((days + 3).rem_euclid(7)).unwrap_or_default()
}

/// `None` for a day that its month does not have.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    // Years counted from March, so that the leap day is the last of its year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let year_of_era = shifted.rem_euclid(400);
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of a count of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * month_from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_read_back() {
        assert_eq!(
            read_http_date(b"Mon, 19 Mar 2018 12:08:40 GMT"),
            Some(Timestamp::from_millis(1_521_461_320_000))
        );
        for seconds in (0..4_102_444_800_i64).step_by(86_400 * 13 + 3607) {
            let at = Timestamp::from_millis(seconds * 1000);
            assert_eq!(read_http_date(write_http_date(at).as_bytes()), Some(at));
            let other = jiff_like(at);
            assert!(write_http_date(at).contains(&other), "{at} {other}");
        }
    }

    /// Day, month and time by way of the model's own calendar.
    fn jiff_like(at: Timestamp) -> String {
        let text = at.to_string();
        let month = MONTH_NAMES[text[5..7].parse::<usize>().unwrap() - 1];
        format!("{} {month} {} {}", &text[8..10], &text[..4], &text[11..19])
    }

    #[test]
    fn what_is_no_date_is_not_repaired() {
        let wrong = [
            "",
            "Mon, 19 Mar 2018 12:08:40",
            "Mon, 19 Mar 2018 12:08:40 UTC",
            "Tue, 19 Mar 2018 12:08:40 GMT",
            "Thu, 29 Feb 2018 12:08:40 GMT",
            "Mon, 19 mar 2018 12:08:40 GMT",
            "Mon, 19 Mar 2018 24:08:40 GMT",
            "Mon, 19 Mar 2018 12:60:40 GMT",
            "Mon, 19 Mar 2018 12:08:+4 GMT",
            "Mon, 19 Mar 2018 12:08:40 GMT ",
            "Monday, 19-Mar-18 12:08:40 GMT",
            "1521461320000",
        ];
        for wrong in wrong {
            assert_eq!(read_http_date(wrong.as_bytes()), None, "{wrong}");
        }
    }

    /// REPLAY-012.
    #[test]
    fn a_timestamp_is_thirteen_digits() {
        assert_eq!(read_millis(b"1525872629832"), Some(Timestamp::from_millis(1_525_872_629_832)));
        let wrong = [
            "",
            "1525872629",
            "1525872629832000",
            "1525872629.83",
            "+152587262983",
            "-152587262983",
            " 152587262983",
            "0x16345785d8a0",
            "999999999999999999999999999999",
            "١٥٢٥٨٧٢٦٢٩٨٣٢",
        ];
        for wrong in wrong {
            assert_eq!(read_millis(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
