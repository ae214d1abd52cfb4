//! A network that loses the answer to a commit.
#![expect(clippy::disallowed_methods, reason = "what a test spawns ends with the test's runtime")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Stands between the application and its server. Armed, it lets the next commit through, waits until the server has done it,
/// and cuts the connection instead of passing on the answer.
pub(crate) struct CutAtCommit {
    pub(crate) url: String,
    armed: Arc<AtomicBool>,
    listening: JoinHandle<()>,
}

impl CutAtCommit {
    pub(crate) async fn start(url: &str) -> Self {
        let (_, rest) = url.split_once('@').unwrap();
        let server = rest.split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mark = if url.contains('?') { '&' } else { '?' };
        let here = url.replace(&server, &listener.local_addr().unwrap().to_string());
        let armed = Arc::<AtomicBool>::default();
        let theirs = armed.clone();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, theirs.clone()));
            }
        });
        Self { url: format!("{here}{mark}sslmode=disable"), armed, listening }
    }

    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }
}

impl Drop for CutAtCommit {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, armed: Arc<AtomicBool>) -> std::io::Result<()> {
    let (mut asked, mut answered) = ([0; 8192], [0; 8192]);
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let asked = &asked[..count?];
                if asked.is_empty() {
                    return Ok(());
                }
                server.write_all(asked).await?;
                if asked.windows(6).any(|word| word == b"COMMIT") && armed.swap(false, Ordering::SeqCst) {
                    return server.read(&mut answered).await.map(drop);
                }
            }
            count = server.read(&mut answered) => {
                let answered = &answered[..count?];
                if answered.is_empty() {
                    return Ok(());
                }
                client.write_all(answered).await?;
            }
        }
    }
}
