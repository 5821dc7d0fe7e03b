//! Jobs as clients know them: the retention policies of tables, by their numbers.

use slicedb_storage::Layout;
use slicedb_storage::table::DAY_US;

use super::TableEntry;

/// Numbers of jobs begin here, as TimescaleDB's do.
const FIRST: u32 = 1000;

impl TableEntry {
    /// The window of its retention policy in microseconds, and whether the policy runs.
    pub fn retention(&self) -> Option<(i64, bool)> {
        let paused = self.properties.paused_retention_us.map(|us| (us, false));
        match self.def.layout {
            Layout::TimeSeries {
                retention_us: Some(us),
                ..
            } => Some((us, true)),
            _ => paused,
        }
    }

    /// The number of its retention policy.
    pub fn job_number(&self) -> i32 {
        i32::try_from(FIRST + self.def.id.0).unwrap_or(i32::MAX)
    }

    /// The configuration of a retention policy of this window in microseconds, as JSON.
    pub fn retention_config(&self, window_us: i64) -> String {
        format!(
            "{{\"drop_after\": \"{}\", \"hypertable_id\": {}}}",
            interval_text(window_us),
            self.def.id
        )
    }
}

/// A length of time as PostgreSQL writes an interval: in days where they are whole.
pub fn interval_text(us: i64) -> String {
    match us / DAY_US {
        1 if us % DAY_US == 0 => "1 day".to_owned(),
        days if us % DAY_US == 0 && us != 0 => format!("{days} days"),
        _ => {
            let sign = if us < 0 { "-" } else { "" };
            let (seconds, rest) = (us.unsigned_abs() / 1_000_000, us.unsigned_abs() % 1_000_000);
            let clock = format!(
                "{sign}{:02}:{:02}:{:02}",
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60
            );
            match rest {
                0 => clock,
                _ => format!("{clock}.{}", format!("{rest:06}").trim_end_matches('0')),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::interval_text;

    #[test]
    fn intervals_are_days_where_they_are_whole() {
        for (us, text) in [
            (3_600_000_000, "01:00:00"),
            (900_000_000, "00:15:00"),
            (86_400_000_000, "1 day"),
            (30 * 86_400_000_000, "30 days"),
            (36 * 3_600_000_000, "36:00:00"),
            (1_500_000, "00:00:01.5"),
            (-61_000_000, "-00:01:01"),
            (0, "00:00:00"),
        ] {
            assert_eq!(interval_text(us), text);
        }
    }
}
