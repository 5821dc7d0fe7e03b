//! The operating system's files and clock.
//!
//! Files are created with mode 0600 and directories with 0700: the data of every merchant is
//! readable by the server's user alone, whatever its umask.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Vfs, VfsFile};
use crate::{Error, Result};

/// Files as the operating system keeps them.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealVfs;

#[derive(Debug)]
struct RealFile {
    path: PathBuf,
    file: File,
}

impl Vfs for RealVfs {
    fn open(&self, path: &Path) -> Result<Arc<dyn VfsFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        Ok(Arc::new(RealFile {
            path: path.to_path_buf(),
            file: file.map_err(Error::io("open", path))?,
        }))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn VfsFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        Ok(Arc::new(RealFile {
            path: path.to_path_buf(),
            file: file.map_err(Error::io("create", path))?,
        }))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
            let entry = entry.map_err(Error::io("list", dir))?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to).map_err(Error::io("rename", from))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path).map_err(Error::io("remove", path))
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        if dir.as_os_str().is_empty() || dir.is_dir() {
            return Ok(());
        }
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        self.create_dir(parent)?;
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            created => created.map_err(Error::io("create", dir))?,
        }
        self.sync_dir(parent)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let handle = File::open(dir).map_err(Error::io("open", dir))?;
        handle.sync_all().map_err(Error::io("sync", dir))
    }

    fn now(&self) -> i64 {
        // A clock before 1970 counts backwards from it; both directions fit for 292,000 years.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        }
    }

    fn uptime(&self) -> i64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        i64::try_from(START.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl VfsFile for RealFile {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(Error::io("stat", &self.path))?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self
                .file
                .read_at(&mut buf[done..], offset.saturating_add(done as u64))
            {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", &self.path)(error)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(Error::io("write", &self.path))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file
            .set_len(len)
            .map_err(Error::io("resize", &self.path))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io("sync", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_and_directories_belong_to_their_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b/c");
        RealVfs.create_dir(&dir).unwrap();
        RealVfs.create_dir(&dir).unwrap();
        let path = dir.join("x");
        RealVfs.create(&path).unwrap();
        assert_eq!(
            (mode(&root.path().join("a")), mode(&dir), mode(&path)),
            (0o700, 0o700, 0o600)
        );
    }

    #[test]
    fn a_file_keeps_what_is_written_and_errors_name_the_verb_and_the_path() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        let file = RealVfs.create(&path).unwrap();
        file.write_at(3, b"abc").unwrap();
        file.sync().unwrap();
        RealVfs.sync_dir(root.path()).unwrap();
        let mut buf = [9; 10];
        assert_eq!(file.read_at(1, &mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"\0\0abc");
        file.set_len(4).unwrap();
        assert_eq!(file.len().unwrap(), 4);

        let error = RealVfs.create(&path).err().unwrap().to_string();
        assert!(
            error.starts_with(&format!("could not create {}: ", path.display())),
            "{error}"
        );
        let moved = root.path().join("y");
        RealVfs.rename(&path, &moved).unwrap();
        assert_eq!(RealVfs.list(root.path()).unwrap(), ["y"]);
        RealVfs.remove(&moved).unwrap();
        assert!(RealVfs.open(&moved).is_err());
        assert!(RealVfs.now() > 1_600_000_000_000_000);
    }
}
