//! The server's settings: read raw from the file, overridden by flags, validated once.
//!
//! [`SETTINGS`] is the one list of them; `docs/config.md` is checked against it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slicedb_sql::DatabaseOptions;
use slicedb_sql::session::{ServerSetting, ServerSource, ServerValue, Unit};
use slicedb_sql::storage::Options;
use slicedb_sql::storage::vfs::RealVfs;

/// A setting of the configuration file. All are whole numbers.
pub(crate) struct Setting {
    /// Its name, with its unit.
    pub(crate) name: &'static str,
    /// Its value when the file does not give one.
    pub(crate) default: u64,
    /// The least it may be.
    pub(crate) least: u64,
    /// What it is for.
    pub(crate) about: &'static str,
}

impl Setting {
    /// What the number counts: the end of the name says it.
    fn unit(&self) -> Unit {
        if self.name.contains("_bytes") {
            Unit::Bytes
        } else if self.name.ends_with("_ms") {
            Unit::Milliseconds
        } else {
            Unit::None
        }
    }
}

const MIB: u64 = 1 << 20;
/// The storage engine's defaults.
const STORAGE: Options = Options::DEFAULT;

macro_rules! settings {
    ($($name:ident = $default:expr, $least:expr, $about:literal;)*) => {
        /// All settings, in the order of the documentation.
        pub(crate) const SETTINGS: &[Setting] = &[$(Setting {
            name: stringify!($name), default: $default, least: $least, about: $about,
        }),*];

        /// Validated settings.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct Config {
            $(pub(crate) $name: u64,)*
            /// Names of those that the file gives.
            given: BTreeSet<&'static str>,
        }

        impl Default for Config {
            fn default() -> Self {
                Config { $($name: $default,)* given: BTreeSet::new() }
            }
        }

        impl Config {
            fn get(&self, setting: &Setting) -> u64 {
                match setting.name {
                    $(stringify!($name) => self.$name,)*
                    _ => setting.default,
                }
            }

            fn set(&mut self, name: &str, value: u64) {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => {}
                }
            }
        }
    };
}

settings! {
    connections_max = 2000, 1, "Sessions at a time; one more is refused with 53300.";
    startup_timeout_ms = 10_000, 100, "Time from connecting to being logged in.";
    drain_timeout_ms = 10_000, 0, "Time that running statements get at shutdown.";
    message_bytes_max = 16 * MIB, 10_000, "Length of one protocol message.";
    memory_max_bytes = 3072 * MIB, 64 * MIB, "Memory of the process; beyond it queries are refused and writers slowed.";
    query_threads = 2, 1, "Threads that plan and run queries.";
    query_memory_bytes = 256 * MIB, MIB, "Memory of one query; beyond it spills to disk.";
    queries_memory_bytes = 512 * MIB, MIB, "Memory of all queries together.";
    spill_bytes = 16 * 1024 * MIB, 0, "Disk space of spilled data of all queries.";
    memtable_seal_bytes = STORAGE.memtable_seal_bytes as u64, 64 * 1024, "Unsealed rows are sealed when they take this much memory.";
    memtable_max_bytes = STORAGE.memtable_max_bytes as u64, 128 * 1024, "Writers wait while unsealed rows take this much memory.";
    memtable_seal_age_ms = STORAGE.memtable_seal_age_ms, 1, "Unsealed rows are sealed when they are this old.";
    wal_file_bytes = STORAGE.wal_file_bytes, 8192, "Size of one file of the write-ahead log.";
    wal_max_bytes = STORAGE.wal_max_bytes, 64 * 1024, "The log is trimmed by a seal when it holds this much.";
    transaction_memory_bytes = STORAGE.transaction_memory_bytes as u64, 4096, "A transaction's rows go to segments of their own beyond this.";
    cache_bytes = STORAGE.cache_bytes as u64, 0, "Memory of the cache of column values.";
    pack_rows = STORAGE.pack_rows as u64, 1024, "Rows of a pack, about.";
    segment_rows_max = STORAGE.segment_rows_max as u64, 65_536, "Rows of a segment, at most.";
    compaction_runs = STORAGE.compaction_runs as u64, 2, "Segments of one chunk that are merged when there are so many.";
    maintenance_interval_ms = STORAGE.maintenance_interval_ms, 10, "How often background work is looked for.";
}

impl Config {
    /// Reads a file of `name = number` lines (TOML).
    ///
    /// # Errors
    /// One line that says what is wrong, and where.
    pub(crate) fn read(path: &Path) -> Result<Config, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| format!("could not read configuration file {}: {e}", path.display()))?;
        Config::parse(&text).map_err(|e| format!("configuration file {}: {e}", path.display()))
    }

    fn parse(text: &str) -> Result<Config, String> {
        let table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| e.to_string().trim().to_owned())?;
        let mut config = Config::default();
        for (name, value) in &table {
            let Some(setting) = SETTINGS.iter().find(|s| s.name == name) else {
                return Err(format!("unrecognized setting \"{name}\""));
            };
            let number = value.as_integer().and_then(|n| u64::try_from(n).ok());
            let number = number
                .ok_or_else(|| format!("setting \"{name}\" must be a whole number, not {value}"))?;
            if number < setting.least {
                return Err(format!(
                    "setting \"{name}\" must be at least {}, not {number}",
                    setting.least
                ));
            }
            config.set(name, number);
            config.given.insert(setting.name);
        }
        if config.memtable_max_bytes <= config.memtable_seal_bytes {
            return Err(
                "setting \"memtable_max_bytes\" must be more than \"memtable_seal_bytes\"".into(),
            );
        }
        if config.wal_max_bytes < 2 * config.wal_file_bytes {
            return Err(
                "setting \"wal_max_bytes\" must be at least twice \"wal_file_bytes\"".into(),
            );
        }
        Ok(config)
    }

    /// The settings as sessions are shown them, those of the command line too.
    fn shown(&self, data_dir: &Path, address: SocketAddr) -> Vec<ServerSetting> {
        let numbers = SETTINGS.iter().map(|setting| ServerSetting {
            name: setting.name,
            value: ServerValue::Number {
                value: self.get(setting),
                default: setting.default,
                least: setting.least,
                unit: setting.unit(),
            },
            source: if self.given.contains(setting.name) {
                ServerSource::File
            } else {
                ServerSource::Default
            },
            about: setting.about,
        });
        let text = |name, value: String, about| ServerSetting {
            name,
            value: ServerValue::Text(value),
            source: ServerSource::CommandLine,
            about,
        };
        let flags = [
            text(
                "data_directory",
                data_dir.display().to_string(),
                "Where the database lives.",
            ),
            text(
                "listen_addresses",
                address.ip().to_string(),
                "The address that the server listens on.",
            ),
            text(
                "port",
                address.port().to_string(),
                "The port that the server listens on.",
            ),
        ];
        numbers.chain(flags).collect()
    }

    /// What the database is opened with.
    pub(crate) fn database(&self, data_dir: PathBuf, address: SocketAddr) -> DatabaseOptions {
        let settings = self.shown(&data_dir, address);
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        DatabaseOptions {
            data_dir,
            storage: Options {
                wal_file_bytes: self.wal_file_bytes,
                memtable_seal_bytes: size(self.memtable_seal_bytes),
                memtable_max_bytes: size(self.memtable_max_bytes),
                memtable_seal_age_ms: self.memtable_seal_age_ms,
                wal_max_bytes: self.wal_max_bytes,
                transaction_memory_bytes: size(self.transaction_memory_bytes),
                cache_bytes: size(self.cache_bytes),
                pack_rows: size(self.pack_rows),
                segment_rows_max: size(self.segment_rows_max),
                compaction_runs: size(self.compaction_runs),
                maintenance_interval_ms: self.maintenance_interval_ms,
                ..Options::default()
            },
            queries_memory_bytes: size(self.queries_memory_bytes),
            query_memory_bytes: size(self.query_memory_bytes),
            spill_bytes: self.spill_bytes,
            query_threads: size(self.query_threads),
            settings,
            vfs: Arc::new(RealVfs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_overrides_defaults_and_mistakes_are_named() {
        let config =
            Config::parse("cache_bytes = 1000\n# a comment\npack_rows = 2048").expect("valid");
        assert_eq!(
            (config.cache_bytes, config.pack_rows, config.query_threads),
            (1000, 2048, 2)
        );
        for (text, message) in [
            ("cache_byte = 1", "unrecognized setting \"cache_byte\""),
            (
                "pack_rows = 1",
                "setting \"pack_rows\" must be at least 1024, not 1",
            ),
            (
                "pack_rows = \"many\"",
                "setting \"pack_rows\" must be a whole number, not \"many\"",
            ),
            (
                "cache_bytes = -1",
                "setting \"cache_bytes\" must be a whole number, not -1",
            ),
            (
                "memtable_seal_bytes = 900000000",
                "setting \"memtable_max_bytes\" must be more than \"memtable_seal_bytes\"",
            ),
        ] {
            assert_eq!(Config::parse(text), Err(message.to_owned()));
        }
        assert!(Config::parse("pack_rows = ").is_err());
    }

    #[test]
    fn sessions_are_shown_every_setting() {
        let config = Config::parse("cache_bytes = 1048576").expect("valid");
        let address = "127.0.0.1:5454".parse().expect("an address");
        let shown = config.shown(Path::new("/data"), address);
        let of = |name: &str| {
            let setting = shown.iter().find(|setting| setting.name == name);
            setting.map(|setting| (setting.shown(), setting.source))
        };
        assert_eq!(of("cache_bytes"), Some(("1MB".into(), ServerSource::File)));
        assert_eq!(
            of("message_bytes_max"),
            Some(("16MB".into(), ServerSource::Default))
        );
        assert_eq!(
            of("memtable_seal_age_ms"),
            Some(("10min".into(), ServerSource::Default))
        );
        assert_eq!(of("port"), Some(("5454".into(), ServerSource::CommandLine)));
        assert_eq!(shown.len(), SETTINGS.len() + 3);
    }

    #[test]
    fn the_documentation_lists_every_setting_with_its_default() {
        let documented = include_str!("../docs/config.md");
        for setting in SETTINGS {
            let line = format!(
                "| `{}` | {} | {} |",
                setting.name, setting.default, setting.least
            );
            assert!(
                documented.contains(&line),
                "docs/config.md lacks: {line} {}",
                setting.about
            );
        }
    }
}
