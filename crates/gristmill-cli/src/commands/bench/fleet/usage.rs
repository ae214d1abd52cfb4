//! Processor time by the scheduler's own account, in nanoseconds: what is idle uses less than the hundredths of a second in which
//! processes are told their time.

use std::path::Path;

/// Of one process of this machine, all its threads. `None` where the system does not tell.
pub(super) fn cpu_nanos_of(pid: u32) -> Option<u64> {
    let threads = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).ok()?;
    let of_thread =
        |path: &Path| std::fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse::<u64>().ok();
    // A thread that ends meanwhile is not there any more.
    let times: Vec<_> = threads.flatten().filter_map(|thread| of_thread(&thread.path())).collect();
    (!times.is_empty()).then(|| times.iter().sum())
}
