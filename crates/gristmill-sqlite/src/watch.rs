//! Says when anybody writes to the file, so that an idle process need not look for it all the time.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Weak;
use std::sync::mpsc::Sender;

use crate::writer::Message;

/// Tells the writer of the next write to the write-ahead log, whoever makes it, in whatever language. It is told before the commit can
/// be seen, and may be this process's own.
#[derive(Debug)]
pub(crate) enum Watch {
    /// Nobody has needed it yet.
    Unasked(PathBuf, Weak<Sender<Message>>),
    /// The next write is told.
    Armed(imp::Events),
    /// One was.
    Told(imp::Events),
    /// The system has no watch to give.
    Never,
}

impl Watch {
    /// A watch on the log beside the file at `path`, for the writer.
    pub(crate) fn of(path: Option<&str>, writer: Weak<Sender<Message>>) -> Self {
        path.map_or(Self::Never, |path| {
            let mut log = OsString::from(path);
            log.push("-wal");
            Self::Unasked(log.into(), writer)
        })
    }

    /// Has the next write told, by one [`Message::Written`], if that can be.
    pub(crate) fn arm(&mut self) {
        let events = match std::mem::replace(self, Self::Never) {
            Self::Unasked(log, writer) => imp::Events::of(log, writer),
            Self::Told(events) => Ok(events),
            as_before => {
                *self = as_before;
                return;
            }
        };
        match events.and_then(|events| events.tell_next().map(|()| events)) {
            Ok(events) => *self = Self::Armed(events),
            Err(error) => without(&error),
        }
    }

    /// Whether the next write is told.
    pub(crate) fn is_armed(&self) -> bool {
        matches!(self, Self::Armed(_))
    }

    /// It was.
    pub(crate) fn has_told(&mut self) {
        *self = match std::mem::replace(self, Self::Never) {
            Self::Armed(events) => Self::Told(events),
            as_before => as_before,
        };
    }
}

/// Says, once for a store, what it costs to be without. A log that is not there, or a system that has no watches, is nobody's fault.
fn without(error: &io::Error) {
    const SO: &str = "the system does not tell of other processes' writes to the file; they are looked for every few milliseconds \
                      instead, which takes more processor time while a worker is idle";
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported) {
        tracing::debug!(%error, "{SO}");
    } else {
        tracing::warn!(%error, "{SO}; raise fs.inotify.max_user_instances or max_user_watches if that is the limit");
    }
}

#[cfg(target_os = "linux")]
mod imp {
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::PathBuf;
    use std::sync::mpsc::Sender;
    use std::sync::{Arc, Weak};
    use std::thread::JoinHandle;

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
    use rustix::io::Errno;

    use crate::writer::Message;

    #[derive(Debug)]
    pub(crate) struct Events {
        inotify: Arc<OwnedFd>,
        log: PathBuf,
        /// A watch on what is always there, where nothing happens: that it ends is the sign for the thread to end.
        end: i32,
        thread: Option<JoinHandle<()>>,
    }

    impl Events {
        pub(super) fn of(log: PathBuf, writer: Weak<Sender<Message>>) -> io::Result<Self> {
            let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
            let end = inotify::add_watch(&inotify, "/", WatchFlags::DELETE_SELF)?;
            let events = inotify.clone();
            let thread = std::thread::Builder::new().name("gristmill-watch".to_owned());
            let thread = thread.spawn(move || tell(&events, end, &writer))?;
            Ok(Self { inotify, log, end, thread: Some(thread) })
        }

        pub(super) fn tell_next(&self) -> io::Result<()> {
            // Of one write only: a busy store would else pay for an event at each.
            Ok(inotify::add_watch(&self.inotify, &self.log, WatchFlags::MODIFY | WatchFlags::ONESHOT).map(drop)?)
        }
    }

    impl Drop for Events {
        fn drop(&mut self) {
            if inotify::remove_watch(&self.inotify, self.end).is_ok()
                && let Some(thread) = self.thread.take()
            {
                let _ = thread.join();
            }
        }
    }

    fn tell(events: &OwnedFd, end: i32, writer: &Weak<Sender<Message>>) {
        let mut room = [MaybeUninit::uninit(); 1_024];
        let mut events = Reader::new(events, &mut room);
        loop {
            match events.next() {
                // Only when the watch is gone can there be another; the write itself is told before.
                Ok(event) if !event.events().contains(ReadFlags::IGNORED) => {}
                Ok(event) if event.wd() == end => return,
                Ok(_) => {
                    let Some(writer) = writer.upgrade() else { continue };
                    let _ = writer.send(Message::Written);
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::io;
    use std::path::PathBuf;
    use std::sync::Weak;
    use std::sync::mpsc::Sender;

    use crate::writer::Message;

    #[derive(Debug)]
    pub(crate) struct Events;

    impl Events {
        pub(super) fn of(_: PathBuf, _: Weak<Sender<Message>>) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn tell_next(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    /// Far beyond what any wake-up takes.
    const DEADLINE: Duration = Duration::from_secs(60);

    #[test]
    fn a_write_is_told_once_for_each_time_that_somebody_asks() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = std::fs::File::create(dir.path().join("a.db-wal")).unwrap();
        let (sender, told) = channel();
        let sender = Arc::new(sender);
        let mut watch = Watch::of(dir.path().join("a.db").to_str(), Arc::downgrade(&sender));
        for _ in 0..3 {
            watch.arm();
            assert!(watch.is_armed());
            log.write_all(b"a frame").unwrap();
            assert!(matches!(told.recv_timeout(DEADLINE), Ok(Message::Written)));
            watch.has_told();
            log.write_all(b"another").unwrap();
        }
        // It ends with its thread; what was not asked for was not told.
        drop(watch);
        assert!(told.try_recv().is_err());
    }

    /// Counts warnings.
    struct Warnings(Arc<AtomicUsize>);

    impl tracing::Subscriber for Warnings {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() == tracing::Level::WARN
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn that_the_system_gives_no_watch_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let (sender, _told) = channel();
        let sender = Arc::new(sender);
        let warnings = Arc::new(AtomicUsize::new(0));
        tracing::subscriber::with_default(Warnings(warnings.clone()), || {
            // A folder that is none stands for a limit that is reached, which other tests would feel.
            let mut watch = Watch::of(dir.path().join("file/a.db").to_str(), Arc::downgrade(&sender));
            watch.arm();
            watch.arm();
            assert!(!watch.is_armed());
        });
        assert_eq!(warnings.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn where_there_is_no_log_nothing_is_promised() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, _told) = channel();
        let sender = Arc::new(sender);
        let mut watch = Watch::of(dir.path().join("a.db").to_str(), Arc::downgrade(&sender));
        watch.arm();
        assert!(!watch.is_armed());
    }
}
