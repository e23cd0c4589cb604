//! Bit rates as people give them: a number and a unit.

/// Reads `5M`, `2.5M`, `800k` or `1G` as bits a second, thousands of thousands; `bit/s` or `bps` may follow. A number
/// without a unit is refused, since 5 is never meant, and 500 may be anything; so are bytes.
///
/// # Errors
/// A line for a person.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let prefix = ["bit/s", "bps"]
        .into_iter()
        .find_map(|word| unit.strip_suffix(word))
        .unwrap_or(unit);
    let scale = match prefix {
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "" if !number.is_empty() => {
            return Err(format!("a unit is missing: {number}M or {number}k"));
        }
        _ => {
            return Err(
                "a number with a unit is wanted, such as 5M or 800k (bits a second)".into(),
            );
        }
    };
    let value: f64 = number
        .parse()
        .map_err(|_| format!("'{number}' is no number"))?;
    let bits = value * scale;
    if bits < LEAST {
        return Err("less than 64k does not even carry the sound".to_owned());
    }
    if bits > MOST {
        return Err("more than 1000G".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the bounds above"
    )]
    Ok(bits.round() as u64)
}

const LEAST: f64 = 64e3;
const MOST: f64 = 1e12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_unit_is_a_bit_rate() {
        assert_eq!(parse("5M"), Ok(5_000_000));
        assert_eq!(parse("800k"), Ok(800_000));
        assert_eq!(parse("2.5Mbit/s"), Ok(2_500_000));
        assert_eq!(parse("64kbps"), Ok(64_000));
        assert_eq!(parse("1G"), Ok(1_000_000_000));
    }

    #[test]
    fn anything_else_is_refused_with_a_hint() {
        assert!(parse("5").unwrap_err().contains("5M"));
        assert!(parse("500000").unwrap_err().contains("unit"));
        assert!(parse("10k").unwrap_err().contains("sound"));
        for wrong in [
            "", "M", "five", "1.2.3M", "-1M", "5m", "5MB", "1e9k", "5 M", "0M", "9999999G",
            "5bit/s",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
