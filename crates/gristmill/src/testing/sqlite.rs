use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A SQLite file of one test's own, in a folder that is deleted with it.
///
/// The file is there from the start, and empty, so that the application can open it with whatever driver and make its own tables,
/// before or after [`Harness::connect`](super::Harness::connect) adds those of the tasks, which has an example.
///
/// Keep it until the end of the test: `let sandbox = ..`, and not `let _ = ..`.
#[derive(Debug)]
pub struct SqliteSandbox {
    path: PathBuf,
    database_url: String,
    store_url: String,
    /// Deletes it all when it is dropped.
    _folder: TempDir,
}

impl SqliteSandbox {
    /// Makes the file.
    ///
    /// # Errors
    /// If the system's folder for temporary files can't be written.
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("gristmill-test-").tempdir()?;
        let path = folder.path().join("test.db");
        std::fs::File::create_new(&path)?;
        let database_url = format!("sqlite:{}", path.display());
        let store_url = format!("{database_url}?adopt=true");
        Ok(Self { path, database_url, store_url, _folder: folder })
    }

    /// The file, for drivers that take a path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, for drivers that take a URL.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The same for [`Harness::connect`](super::Harness::connect), or for whatever else connects to its tasks.
    pub fn store_url(&self) -> &str {
        &self.store_url
    }
}
