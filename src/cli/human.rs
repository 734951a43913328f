//! Figures as people read them.

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A time in its two largest units: `45s`, `12m 5s`, `3h 20m`, `9d 4h`.
pub(super) fn duration(secs: u64) -> String {
    let two = |large: u64, of: u64, [first, second]: [&str; 2]| {
        let (whole, rest) = (secs / of, secs % of / (of / large));
        if rest == 0 { format!("{whole}{first}") } else { format!("{whole}{first} {rest}{second}") }
    };
    match secs {
        0..60 => format!("{secs}s"),
        60..3600 => two(60, 60, ["m", "s"]),
        3600..86_400 => two(60, 3600, ["h", "m"]),
        _ => two(24, 86_400, ["d", "h"]),
    }
}

/// A figure with three digits at least and a prefix of SI: `999`, `1.20k`, `34.5M`.
pub(super) fn figure(value: f64) -> String {
    const PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let mut scaled = value;
    let mut prefixes = PREFIXES.iter();
    let mut prefix = prefixes.next();
    while scaled >= 999.5
        && let Some(next) = prefixes.next()
    {
        scaled /= 1000.0;
        prefix = Some(next);
    }
    let prefix = prefix.copied().unwrap_or_default();
    match scaled {
        _ if prefix.is_empty() => format!("{scaled:.0}"),
        ..9.995 => format!("{scaled:.2}{prefix}"),
        ..99.95 => format!("{scaled:.1}{prefix}"),
        _ => format!("{scaled:.0}{prefix}"),
    }
}

/// A count, as [`figure`].
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn count(value: u64) -> String {
    figure(value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        let shown = [0, 59, 60, 125, 3600, 12_000, 86_400, 788_645].map(duration);
        assert_eq!(shown, ["0s", "59s", "1m", "2m 5s", "1h", "3h 20m", "1d", "9d 3h"]);
    }

    #[test]
    fn figures_have_three_digits() {
        let shown = [0.0, 0.4, 999.0, 999.6, 1204.0, 34_511.0, 999_499.0, 999_999.0, 1.5e9].map(figure);
        assert_eq!(shown, ["0", "0", "999", "1.00k", "1.20k", "34.5k", "999k", "1.00M", "1.50G"]);
        assert_eq!(count(u64::MAX), "18447P");
    }
}
