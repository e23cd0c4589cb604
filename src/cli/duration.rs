//! Durations as people give them: a number and a unit.

use std::time::Duration;

/// Reads `250ms`, `10s`, `1.5m` or `2h`; a number without a unit is refused, since people mean different ones.
///
/// # Errors
/// A line for a person.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "" if !number.is_empty() => {
            return Err(format!(
                "a unit is missing: {number}s, {number}ms or {number}m"
            ));
        }
        _ => return Err("a number with a unit is wanted, such as 10s, 250ms, 2m or 1h".to_owned()),
    };
    let value: f64 = number
        .parse()
        .map_err(|_| format!("'{number}' is no number"))?;
    Duration::try_from_secs_f64(value * scale)
        .ok()
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| "longer than a year".to_owned())
}

const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_unit_is_a_duration() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("2h"), Ok(Duration::from_secs(7200)));
    }

    #[test]
    fn anything_else_is_refused_with_a_hint() {
        assert!(parse("10").unwrap_err().contains("10s"));
        for wrong in [
            "",
            "s",
            "ms",
            "ten",
            "1.2.3s",
            "-1s",
            "1e9s",
            "99999999h",
            "10 s",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
