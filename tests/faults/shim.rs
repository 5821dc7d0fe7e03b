//! The library that a server is started with, and the file through which it is told what fails.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::crash::power::run;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c");
/// `EIO` and `ENOSPC`, on Linux everywhere.
const EIO: u64 = 5;
const ENOSPC: u64 = 28;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One call fails; of a write half is done.
    Once,
    /// One call finds no room.
    OnceFull,
    /// One write is shorter than it was asked for: no error, as the system may do.
    Short,
    /// Every call fails, from one on.
    Broken,
    /// The disk is full, from one call on: nothing that takes room goes on, half of a write fits.
    Full,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] = [
        Kind::Once,
        Kind::Broken,
        Kind::OnceFull,
        Kind::Full,
        Kind::Short,
    ];

    /// What the system says.
    pub(super) fn words(self) -> &'static str {
        match self.is_for_room() {
            true => "No space left on device",
            false => "Input/output error",
        }
    }

    /// Whether there is no room.
    pub(super) fn is_for_room(self) -> bool {
        matches!(self, Kind::OnceFull | Kind::Full)
    }
}

/// The compiled library; `Err` says why there is none.
pub(super) fn library() -> Result<&'static Path, String> {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let compile = || {
        if !cfg!(target_os = "linux") {
            return Err("calls of the C library are replaced on Linux only".to_owned());
        }
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libfaults.so");
        let made = to.with_extension(std::process::id().to_string());
        let mut cc = Command::new("cc");
        let cc = cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]);
        run(cc.arg(&made).arg(SOURCE))?;
        // Another run of the tests may be using the one that is there.
        std::fs::rename(&made, &to).map_err(|e| e.to_string())?;
        Ok(to)
    };
    match LIBRARY.get_or_init(compile) {
        Ok(path) => Ok(path),
        Err(reason) => Err(reason.clone()),
    }
}

/// What a server is told, and what it tells. The layout is drawn in `shim.c`.
pub(super) struct Control {
    file: File,
    path: PathBuf,
    dir: PathBuf,
}

impl Control {
    /// Nothing fails yet. `dir` is the data directory.
    pub(super) fn new(path: PathBuf, dir: PathBuf) -> Control {
        let mut options = File::options();
        let options = options.create(true).truncate(true).read(true).write(true);
        let file = options.open(&path).expect("a file for the control");
        file.set_len(4096).expect("its length");
        Control { file, path, dir }
    }

    /// The environment of a server that is to fail.
    pub(super) fn environment<'a>(&'a self, library: &'a Path) -> [(&'a str, &'a str); 3] {
        let text = |path: &'a Path| path.to_str().expect("a path in UTF-8");
        [
            ("LD_PRELOAD", text(library)),
            ("SLICEDB_FAULT_DIR", text(&self.dir)),
            ("SLICEDB_FAULT_CONTROL", text(&self.path)),
        ]
    }

    /// Counts from here on; with a `fault`, the call of that number is the one to fail.
    pub(super) fn arm(&self, fault: Option<(u64, Kind)>) {
        self.set(8, 0);
        self.set(0, 0);
        self.set(40, 0);
        let Some((number, kind)) = fault else { return };
        let is_one = !matches!(kind, Kind::Broken | Kind::Full);
        let how = match kind {
            Kind::Broken => 0,
            Kind::Once | Kind::OnceFull | Kind::Full => 1,
            Kind::Short => 2,
        };
        self.set(16, if is_one { number } else { 0 });
        self.set(24, if kind.is_for_room() { ENOSPC } else { EIO });
        self.set(32, how);
        self.set(48, u64::from(kind == Kind::Full));
        self.set(8, number);
    }

    /// All is well again.
    pub(super) fn disarm(&self) {
        self.set(8, 0);
    }

    /// Calls since it was armed.
    pub(super) fn count(&self) -> u64 {
        self.get(0)
    }

    /// Calls that failed.
    pub(super) fn hits(&self) -> u64 {
        self.get(40)
    }

    /// The first of them.
    pub(super) fn note(&self) -> String {
        let mut note = [0; 512];
        self.file.read_exact_at(&mut note, 64).expect("the note");
        let note = note.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(note).into_owned()
    }

    fn set(&self, at: u64, value: u64) {
        let written = self.file.write_all_at(&value.to_ne_bytes(), at);
        written.expect("the control is written");
    }

    fn get(&self, at: u64) -> u64 {
        let mut value = [0; 8];
        self.file.read_exact_at(&mut value, at).expect("a number");
        u64::from_ne_bytes(value)
    }
}
