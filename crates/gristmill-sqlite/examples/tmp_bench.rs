use gristmill_sqlite::raw::RawBench;
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let batch: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let dir = tempfile::tempdir_in("/work").unwrap();
    let extra = std::env::args().nth(3).unwrap_or_default();
    let mut b = RawBench::create(&format!("sqlite:{}/b.db{extra}", dir.path().display())).unwrap();
    let e = b.enqueue_bulk(n, batch).unwrap();
    println!("enqueue {:.0}/s", n as f64 / e.as_secs_f64());
    let (c, e) = b.drain(batch).unwrap();
    println!("drain {:.0}/s", c as f64 / e.as_secs_f64());
    println!("size {} wal {}", std::fs::metadata(dir.path().join("b.db")).unwrap().len(), std::fs::metadata(dir.path().join("b.db-wal")).unwrap().len());
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", s.lines().find(|l| l.starts_with("VmHWM")).unwrap());
}
