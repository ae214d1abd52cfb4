use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

/// Who the servers run as: this user, or `postgres` if this is root, as whom both servers refuse to run.
#[derive(Clone, Copy)]
pub(super) struct Account {
    /// The user and group to change to.
    pub(super) ids: Option<(u32, u32)>,
}

impl Account {
    pub(super) fn for_servers() -> Result<Self> {
        let ids = if rustix::process::geteuid().is_root() {
            Some((id("-u").context("as root, the servers run as the user `postgres`")?, id("-g")?))
        } else {
            None
        };
        Ok(Self { ids })
    }

    /// As tests read it: user and group, `101:104`; empty if no change of user is needed.
    pub(super) fn text(&self) -> String {
        self.ids.map_or(String::new(), |(user, group)| format!("{user}:{group}"))
    }

    /// A command of this account in `folder`, with nothing of the caller's environment: PGPORT or PGHOST would lead it
    /// to another cluster, and LANG changes what initdb makes.
    pub(super) fn command(&self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(folder).stdin(Stdio::null());
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        if let Some((user, group)) = self.ids {
            command.uid(user).gid(group);
        }
        command
    }

    /// The same, for a server: out of reach of the terminal's ctrl-c, as its end has an order, and ended by the kernel
    /// with `signal` if this process is killed.
    pub(super) fn server(&self, program: &Path, folder: &Path, signal: &str) -> Command {
        let mut command = if *SETPRIV {
            let mut command = self.command("setpriv", folder);
            command.args(["--pdeathsig", signal, "--"]).arg(program);
            command
        } else {
            self.command(program, folder)
        };
        command.process_group(0);
        command
    }

    /// Gives a file or folder that this process made to the account.
    pub(super) fn own(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.ids {
            std::os::unix::fs::chown(path, Some(user), Some(group)).with_context(|| format!("chown {}", path.display()))?;
        }
        Ok(())
    }

    /// Whether the account can write to `folder`; one above it may be closed to others.
    pub(super) fn reaches(&self, folder: &Path) -> bool {
        let probe = folder.join("probe");
        let written = self.command("touch", folder).arg(&probe).stderr(Stdio::null()).status();
        written.is_ok_and(|status| status.success()) && std::fs::remove_file(probe).is_ok()
    }
}

/// Whether there is a setpriv that knows `--pdeathsig`: util-linux's does, Busybox's does not, macOS has none.
static SETPRIV: LazyLock<bool> = LazyLock::new(|| {
    let mut probe = Command::new("setpriv");
    probe.args(["--pdeathsig", "KILL", "--", "true"]).stdin(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
});

fn id(which: &str) -> Result<u32> {
    let output = Command::new("id").args([which, "postgres"]).output().context("starting id")?;
    if !output.status.success() {
        bail!("id {which} postgres: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8_lossy(&output.stdout).trim().parse().with_context(|| format!("the output of id {which} postgres"))
}
