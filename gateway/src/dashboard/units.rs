//! Numbers as people read them, each with its unit.

use jiff::{SignedDuration, Timestamp};

/// What stands where there is no number.
pub(super) const NONE: &str = "–";

/// A count, with a comma every three digits.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3`, `1,234`: three digits that mean something.
fn short(number: f64) -> String {
    match number {
        _ if number >= 100.0 => count(number.round() as u64),
        _ if number >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// So many a second.
pub(super) fn rate(a_second: f64) -> String {
    if a_second == 0.0 { "0/s".to_owned() } else { format!("{}/s", short(a_second)) }
}

/// A share, as percent.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let text = match percent {
        _ if percent > 0.0 && percent < 0.01 => return "<0.01%".to_owned(),
        _ if percent < 10.0 => format!("{percent:.2}"),
        _ => format!("{percent:.1}"),
    };
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Bytes, in the greatest binary unit that they fill.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{} {unit}", short(size)) }
}

/// Bytes of resident memory, as they come with other measurements.
pub(super) fn resident(used: f64) -> String {
    bytes(used as u64)
}

/// Seconds of CPU time in a second.
pub(super) fn cores(cores: f64) -> String {
    format!("{cores:.2} cores")
}

/// Seconds, in the unit that leaves them a few digits.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        0.0 => "0 s".to_owned(),
        _ if seconds < 0.000_999_5 => format!("{:.0} µs", seconds * 1e6),
        _ if seconds < 0.999_5 => format!("{} ms", short(seconds * 1e3)),
        _ if seconds < 120.0 => format!("{} s", short(seconds)),
        _ => format!("{} min", short(seconds / 60.0)),
    }
}

/// Microseconds.
pub(super) fn micros(us: u64) -> String {
    seconds(us as f64 / 1e6)
}

/// How long ago, in the unit that is great enough.
pub(super) fn ago(time: Timestamp) -> String {
    let past = Timestamp::now().duration_since(time).max(SignedDuration::ZERO).as_secs();
    match past {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", past / 60),
        3600..86_400 => format!("{} h ago", past / 3600),
        86_400..172_800 => "yesterday".to_owned(),
        _ => format!("{} days ago", past / 86_400),
    }
}

/// A moment, to the second, in UTC.
pub(super) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A number where there is one.
pub(super) fn known(number: Option<f64>, text: fn(f64) -> String) -> String {
    number.map_or_else(|| NONE.to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_unit_and_few_digits() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.1, 12.34, 6789.0].map(rate), ["0/s", "0.10/s", "12.3/s", "6,789/s"]);
        assert_eq!([0.0, 0.000_001, 0.012_34, 0.25, 0.999_999].map(percent), ["0%", "<0.01%", "1.23%", "25%", "100%"]);
        assert_eq!([0, 1023, 1024, 67_108_864].map(bytes), ["0 B", "1023 B", "1.00 KiB", "64.0 MiB"]);
        assert_eq!(bytes(u64::MAX), "16,777,216 TiB");
        assert_eq!(
            [0.0, 0.000_085, 0.001_24, 0.25, 2.0, 300.0].map(seconds),
            ["0 s", "85 µs", "1.24 ms", "250 ms", "2.00 s", "5.00 min"]
        );
    }
}
