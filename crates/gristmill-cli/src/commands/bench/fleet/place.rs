use gristmill::postgres::raw::Server;

use super::super::measure::Result;
use crate::stores::{Scratch, is_postgres, shown};

/// Where one scenario is measured: a schema in somebody's database, or a file.
pub(super) struct Place {
    scratch: Scratch,
    /// What it is beside.
    base: Option<String>,
    server: bool,
}

impl Place {
    /// A new one beside the store that `url` names; without one, in the current folder.
    pub(super) fn new(url: Option<&str>, name: &str) -> Self {
        let name = format!("gristmill-fleet-{name}");
        match url {
            Some(url) => Self { scratch: Scratch::beside(url, &name), base: Some(url.to_owned()), server: is_postgres(url) },
            None => Self { scratch: Scratch::file(&name), base: None, server: false },
        }
    }

    /// Another one, to be compared with this one.
    pub(super) fn another(&self, name: &str) -> Self {
        Self::new(self.base.as_deref(), name)
    }

    pub(super) fn is_server(&self) -> bool {
        self.server
    }

    pub(super) fn shown(&self) -> String {
        shown(&self.scratch.url())
    }

    /// Its URL for clients whose connections the server can tell from those of others by this name.
    pub(super) fn url(&self, who: &str) -> String {
        let url = self.scratch.url();
        if !self.server {
            return url;
        }
        // So many workers as in a fleet would each open several more for work that they do not have here.
        let pool = if url.contains("pool=") { "" } else { "&pool=1" };
        format!("{url}{pool}&application_name={}", application_name(who))
    }

    /// A look at the server that is not taken for one of those that are counted.
    pub(super) async fn server(&self) -> Result<Server> {
        Ok(Server::connect(&self.url("look")).await?)
    }

    pub(super) async fn remove(self) -> Result<()> {
        if self.server {
            self.server().await?.drop_schema().await?;
        }
        Ok(())
    }
}

/// What the server calls their connections.
pub(super) fn application_name(who: &str) -> String {
    format!("gristmill_{who}_{}", std::process::id())
}
