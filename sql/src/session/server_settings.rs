//! Settings of the server: given when it starts, shown to every session, changed by none.
//!
//! The program knows them and hands a list down with [`DatabaseOptions`](crate::DatabaseOptions).

use std::sync::Arc;

/// A setting of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSetting {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: ServerValue,
    /// Where the value comes from.
    pub source: ServerSource,
    /// What it is for.
    pub about: &'static str,
}

/// The value of a setting of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerValue {
    /// A whole number.
    Number {
        /// The number, in the unit.
        value: u64,
        /// What it is when nobody gives one.
        default: u64,
        /// The least it may be.
        least: u64,
        /// What it counts.
        unit: Unit,
    },
    /// A text.
    Text(String),
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    None,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerSource {
    /// Nobody gave one.
    Default,
    /// The configuration file.
    File,
    /// The command line.
    CommandLine,
}

impl ServerSetting {
    /// The value without its unit.
    pub fn plain(&self) -> String {
        match &self.value {
            ServerValue::Number { value, .. } => value.to_string(),
            ServerValue::Text(text) => text.clone(),
        }
    }

    /// The value as `SHOW` prints it.
    pub fn shown(&self) -> String {
        match &self.value {
            ServerValue::Number { value, unit, .. } => unit.shown(*value),
            ServerValue::Text(text) => text.clone(),
        }
    }
}

impl Unit {
    /// The unit's name in `pg_settings`.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Unit::None => None,
            Unit::Bytes => Some("B"),
            Unit::Milliseconds => Some("ms"),
        }
    }

    /// A number with the largest unit that it is whole in, as PostgreSQL prints it.
    pub fn shown(self, value: u64) -> String {
        let units: &[(&str, u64)] = match self {
            Unit::None => &[],
            Unit::Bytes => &[
                ("TB", 1 << 40),
                ("GB", 1 << 30),
                ("MB", 1 << 20),
                ("kB", 1 << 10),
                ("B", 1),
            ],
            Unit::Milliseconds => &[
                ("d", 86_400_000),
                ("h", 3_600_000),
                ("min", 60_000),
                ("s", 1000),
                ("ms", 1),
            ],
        };
        match units
            .iter()
            .find(|(_, size)| value > 0 && value.is_multiple_of(*size))
        {
            Some((unit, size)) => format!("{}{unit}", value / size),
            None => value.to_string(),
        }
    }
}

impl ServerSource {
    /// Its name in `pg_settings`.
    pub fn name(self) -> &'static str {
        match self {
            ServerSource::Default => "default",
            ServerSource::File => "configuration file",
            ServerSource::CommandLine => "command line",
        }
    }
}

/// The settings of one server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct ServerSettings(Arc<[ServerSetting]>);

impl ServerSettings {
    /// The settings of a list.
    pub fn new(settings: Vec<ServerSetting>) -> Self {
        ServerSettings(settings.into())
    }

    /// The setting of this name, whatever its case.
    pub fn find(&self, name: &str) -> Option<&ServerSetting> {
        self.iter()
            .find(|setting| setting.name.eq_ignore_ascii_case(name))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ServerSetting> {
        self.0.iter()
    }
}

// They never change, so that the same list is the same settings.
impl PartialEq for ServerSettings {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ServerSettings {}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn a_number_takes_the_largest_unit_that_it_is_whole_in() {
        for (unit, value, shown) in [
            (Unit::Bytes, 192 << 20, "192MB"),
            (Unit::Bytes, 1 << 40, "1TB"),
            (Unit::Bytes, 1025, "1025B"),
            (Unit::Bytes, 0, "0"),
            (Unit::Milliseconds, 600_000, "10min"),
            (Unit::Milliseconds, 1500, "1500ms"),
            (Unit::Milliseconds, 86_400_000, "1d"),
            (Unit::None, 4096, "4096"),
        ] {
            assert_eq!(unit.shown(value), shown);
        }
    }
}
