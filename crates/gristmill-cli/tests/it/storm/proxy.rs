//! A network between programs and their server, which breaks when it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Whose connection breaks when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Of a transaction that has committed.
    Commit,
    /// Of a statement that has changed something, or read.
    Statement,
}

impl Answer {
    /// Whether the server's words hold such an answer: a message `C` with its length and what was done.
    fn is_in(self, words: &[u8]) -> bool {
        let tags: &[&[u8]] = match self {
            Self::Commit => &[b"COMMIT\0"],
            Self::Statement => &[b"SELECT ", b"INSERT ", b"UPDATE ", b"DELETE "],
        };
        words.windows(12).any(|some| some[..4] == *b"C\0\0\0" && tags.iter().any(|tag| some[5..].starts_with(tag)))
    }
}

#[derive(Default)]
struct State {
    /// The next answers of this sort that are lost, and how many.
    lose: Mutex<Option<(Answer, usize)>>,
    open: Mutex<Vec<TcpStream>>,
}

impl State {
    fn loses(&self, words: &[u8]) -> bool {
        let mut lose = self.lose.lock().unwrap();
        let Some((answer, left)) = *lose else { return false };
        if !answer.is_in(words) {
            return false;
        }
        *lose = (left > 1).then(|| (answer, left - 1));
        true
    }
}

/// Listens to the end of the test.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// Before the server at this address.
    pub(crate) fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, state) = (listener.local_addr().unwrap().port(), Arc::<State>::default());
        let theirs = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // The server may be full; then this caller finds nobody.
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let ends = [&client, &server].map(|end| end.try_clone().unwrap());
                let mut open = theirs.open.lock().unwrap();
                // Those that are over have nobody at their other end.
                open.retain(|end| end.peer_addr().is_ok());
                open.extend(ends.iter().map(|end| end.try_clone().unwrap()));
                drop(open);
                let [client_again, server_again] = ends;
                let state = theirs.clone();
                std::thread::spawn(move || carry(client, server, |_| false));
                std::thread::spawn(move || carry(server_again, client_again, |words| state.loses(words)));
            }
        });
        Self { port, state }
    }

    /// The same URL by way of this proxy, in the clear, so that it can be read.
    pub(crate) fn url(&self, url: &str) -> String {
        let (user, rest) = url.split_once('@').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        format!("{user}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Loses so many answers from now on, with their connections.
    pub(crate) fn lose(&self, answer: Answer, count: usize) {
        *self.state.lose.lock().unwrap() = Some((answer, count));
    }

    /// Whether there are answers still to be lost.
    pub(crate) fn is_armed(&self) -> bool {
        self.state.lose.lock().unwrap().is_some()
    }

    pub(crate) fn disarm(&self) {
        *self.state.lose.lock().unwrap() = None;
    }

    /// Breaks all connections.
    pub(crate) fn cut(&self) {
        for end in self.state.open.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// Until either end is gone, or an answer is lost. Takes both connections with it.
fn carry(mut from: TcpStream, mut to: TcpStream, loses: impl Fn(&[u8]) -> bool) {
    let mut words = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut words) {
        if loses(&words[..count]) || to.write_all(&words[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
