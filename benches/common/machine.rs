//! What the figures were measured on.

use std::path::Path;

/// One line: processor, memory, system, file system of `dir`, and how busy it is already.
pub(crate) fn facts(dir: &Path) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line.split_once(':')
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let cpu = field(&read("/proc/cpuinfo"), "model name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory_gib = memory.trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1_048_576.0;
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores {cpu}, {memory_gib:.0} GiB, Linux {}, {} in {}, load average {} at the start",
        kernel.trim(),
        file_system(&read("/proc/mounts"), dir),
        dir.display(),
        load.split(' ').next().unwrap_or_default(),
    )
}

/// The type of the file system that `dir` is on, by the longest mount point.
fn file_system(mounts: &str, dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        dir.starts_with(point).then_some((point.len(), kind))
    });
    mounts.max().map_or_else(
        || "unknown file system".to_owned(),
        |(_, kind)| kind.to_owned(),
    )
}
