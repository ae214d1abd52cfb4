//! The directory of the file: whether it can be written, and how much space there is.

use std::path::Path;

#[cfg(unix)]
use rustix::fs::{Access, access, statvfs};
#[cfg(unix)]
use rustix::io::Errno;

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Why files can't be made beside this one; `None` if they can, or if nobody knows.
#[cfg(unix)]
pub(crate) fn unwritable(path: &Path) -> Option<String> {
    let directory = directory(path);
    let why = match access(directory, Access::WRITE_OK | Access::EXEC_OK).err()? {
        Errno::ROFS => "is on a file system that is mounted read-only",
        Errno::PERM => "is immutable",
        Errno::ACCESS => "can't be written by this user",
        _ => return None,
    };
    Some(format!(
        "the directory {} {why}; the store needs to write there, where -wal and -shm are made beside the file",
        std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()).display()
    ))
}

/// How many bytes this user may still write there.
#[cfg(unix)]
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let space = statvfs(directory(path)).ok()?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(not(unix))]
pub(crate) fn unwritable(_: &Path) -> Option<String> {
    None
}

#[cfg(not(unix))]
pub(crate) fn free_bytes(_: &Path) -> Option<u64> {
    None
}
