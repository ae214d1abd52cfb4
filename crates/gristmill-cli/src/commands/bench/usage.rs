/// Processor seconds that this process has used, user and system together; zero where the system does not tell.
pub(super) fn cpu_seconds() -> f64 {
    cpu_seconds_of("self").unwrap_or_default()
}

/// The same for any process of this machine.
pub(super) fn cpu_seconds_of(process: &str) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold spaces.
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: Vec<f64> = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    // Linux counts in hundredths of a second for programs, whatever the kernel's own clock.
    Some(ticks.iter().sum::<f64>() / 100.0)
}

/// The most memory that this process has held, in MiB; zero where the system does not tell.
pub(super) fn peak_rss_mb() -> f64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0.0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or_default() / 1024.0
}
