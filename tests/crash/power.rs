//! Power cuts: an ext4 on a loop device is shut down without flushing its journal, so that what was
//! not synced is gone, as after a power cut. Killing a process loses nothing that it wrote; this does.
//!
//! Needs root and loop devices, and is skipped without.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::chance::{Chance, number};
use super::trial::{Death, Trial};

const IMAGE_BYTES: u64 = 256 << 20;
/// `FS_IOC_GOINGDOWN` with `NOLOGFLUSH`, see ext4's `EXT4_IOC_SHUTDOWN`.
const CUT: &str = "open my $dir, '<', $ARGV[0] or die $!; my $how = pack 'L', 2; ioctl $dir, 0x8004587d, $how or die $!";

/// A mounted filesystem, unmounted when dropped, or when this process is gone, however it went.
pub(crate) struct Mount {
    at: PathBuf,
    keeper: Child,
}

impl Mount {
    /// Mounts; `Err` says why that is not possible here.
    pub(crate) fn new(options: &[&str], what: &Path, at: &Path) -> Result<Mount, String> {
        std::fs::create_dir_all(at).expect("a place to mount");
        let mut mount = Command::new("mount");
        run(mount.args(options).arg(what).arg(at))?;
        let script = "cat >/dev/null; mountpoint -q \"$1\" && umount -l \"$1\"";
        let keeper = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(at)
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        Ok(Mount {
            at: at.to_owned(),
            keeper,
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(e) = run(Command::new("umount").arg(&self.at)) {
            println!("{e}; it goes when its last user does");
        }
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Runs a command; `Err` with what it said.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", said.trim()))
}

/// A disk whose power can be cut.
pub(crate) struct Disk {
    image: PathBuf,
    at: PathBuf,
    mount: Option<Mount>,
}

impl Disk {
    /// A new one in the file `image`, mounted; `Err` says why that is not possible here.
    pub(crate) fn new(image: PathBuf, at: PathBuf) -> Result<Disk, String> {
        let file = std::fs::File::create(&image).expect("an image");
        file.set_len(IMAGE_BYTES).expect("a sparse file");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let mount = Some(Mount::new(&["-o", "loop"], &image, &at)?);
        Ok(Disk { image, at, mount })
    }

    /// From here on nothing is written any more.
    pub(crate) fn cut(&self) {
        let cut = run(Command::new("perl").args(["-e", CUT]).arg(&self.at));
        cut.expect("the power is cut");
    }

    /// After a cut, when nobody uses it any more: what was synced is there.
    pub(crate) fn mount_again(&mut self) {
        self.mount = None;
        let mount = Mount::new(&["-o", "loop"], &self.image, &self.at);
        self.mount = Some(mount.expect("it was mounted before"));
    }
}

#[test]
fn power_is_cut_at_a_random_moment() {
    let chance = Chance::from_environment("power_is_cut_at_a_random_moment");
    let cycles = number("SLICEDB_POWER_CYCLES", 5);
    let mut trial = Trial::new(chance);
    let image = trial.dir.path().join("image");
    let mut disk = match Disk::new(image, trial.data_dir()) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    for cycle in 1..=cycles {
        let server = trial.start();
        let time = Duration::from_millis(trial.chance.between(100, 2000));
        trial.work(&server, &Death::Cut(time, &|| disk.cut()));
        drop(server);
        disk.mount_again();
        if cycle % 2 == 0 {
            trial.check();
        }
    }
    let server = trial.start();
    server.terminate();
    server.wait();
    drop(server);
    trial.check();
    println!("{}", trial.summary());
    drop(disk);
}
