//! A network that fails at a chosen moment: stands between a store and its server, follows the protocol, and cuts the connection
//! around one request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::common::database;

/// On which side of the server's work the connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The request never arrives.
    Before,
    /// The server did it all, a commit too, and its reply is lost.
    After,
}

/// The next cut, and what was seen since it was set.
#[derive(Default)]
struct Plan {
    cut: Option<(Cut, usize)>,
    log: Vec<String>,
}

/// Listens until it is dropped.
pub(crate) struct Proxy {
    plan: Arc<Mutex<Plan>>,
    port: u16,
    server: String,
    listening: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let database = database();
        let (_, rest) = database.split_once('@').unwrap();
        let server = rest.split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Arc::<Mutex<Plan>>::default();
        let (their_plan, their_server) = (plan.clone(), server.clone());
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&their_server).await.unwrap();
                tokio::spawn(carry(client, server, their_plan.clone()));
            }
        });
        Self { plan, port, server, listening }
    }

    /// The same URL by way of this proxy, in the clear, so that it can be read.
    pub(crate) fn url(&self, url: &str) -> String {
        format!("{}&sslmode=disable", url.replace(&self.server, &format!("127.0.0.1:{}", self.port)))
    }

    /// Cuts at the request with this number, counted from now; requests that only prepare are not counted.
    pub(crate) fn cut_at(&self, cut: Cut, number: usize) {
        *self.plan.lock().unwrap() = Plan { cut: Some((cut, number)), log: Vec::new() };
    }

    /// Cuts no more. The requests that were counted, the last one being the one that was cut, if `true`.
    pub(crate) fn disarm(&self) -> (Vec<String>, bool) {
        let plan = std::mem::take(&mut *self.plan.lock().unwrap());
        (plan.log, plan.cut.is_none())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Whether the request is the one to cut around, and how.
fn strikes(plan: &Mutex<Plan>, sql: &str) -> Option<Cut> {
    let mut plan = plan.lock().unwrap();
    let (cut, left) = plan.cut?;
    plan.log.push(sql.split_whitespace().take(60).collect::<Vec<_>>().join(" "));
    plan.cut = (left > 0).then(|| (cut, left - 1));
    (left == 0).then_some(cut)
}

/// What has been sent to the server and not been answered: whether the answer is to be lost.
type Asked = Arc<Mutex<VecDeque<bool>>>;

async fn carry(client: TcpStream, server: TcpStream, plan: Arc<Mutex<Plan>>) {
    let (asked, (client_in, client_out), (server_in, server_out)) = (Asked::default(), client.into_split(), server.into_split());
    // Either half that ends takes both connections with it.
    tokio::select! {
        _ = forth(client_in, server_out, asked.clone(), plan) => {}
        _ = back(server_in, client_out, asked) => {}
    }
}

/// Carries requests, whole ones only.
async fn forth(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: Asked, plan: Arc<Mutex<Plan>>) -> std::io::Result<()> {
    // The first message has no letter.
    let length = from.read_u32().await?;
    let mut first = vec![0; length as usize - 4];
    from.read_exact(&mut first).await?;
    to.write_all(&[length.to_be_bytes().as_slice(), &first].concat()).await?;
    let mut statements: HashMap<Vec<u8>, String> = HashMap::new();
    let (mut request, mut sql, mut listens) = (Vec::new(), None, false);
    loop {
        let (letter, body) = message(&mut from, &mut request).await?;
        match letter {
            b'P' => {
                let mut texts = body.split(|byte| *byte == 0);
                let (name, text) = (texts.next().unwrap(), texts.next().unwrap());
                statements.insert(name.to_vec(), String::from_utf8_lossy(text).into_owned());
            }
            b'B' => {
                let name = body.split(|byte| *byte == 0).nth(1).unwrap();
                sql = statements.get(name).cloned();
            }
            b'Q' => sql = Some(String::from_utf8_lossy(&body).into_owned()),
            _ => {}
        }
        if !matches!(letter, b'Q' | b'S' | b'p' | b'X') {
            continue;
        }
        let sql = sql.take();
        // News travel on a line of their own, at moments of their own.
        listens |= sql.as_ref().is_some_and(|sql| sql.contains("LISTEN"));
        let cut = sql.filter(|_| !listens).and_then(|sql| strikes(&plan, &sql));
        if cut == Some(Cut::Before) {
            return Ok(());
        }
        if matches!(letter, b'Q' | b'S') {
            asked.lock().unwrap().push_back(cut.is_some());
        }
        to.write_all(&request).await?;
        request.clear();
    }
}

/// Carries answers, whole ones only, but for the one that is lost.
async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: Asked) -> std::io::Result<()> {
    let mut answer = Vec::new();
    loop {
        let (letter, _) = message(&mut from, &mut answer).await?;
        if letter == b'Z' && asked.lock().unwrap().pop_front() == Some(true) {
            return Ok(());
        }
        // Before the first request there is the exchange of passwords, word by word.
        if letter == b'Z' || asked.lock().unwrap().is_empty() {
            to.write_all(&answer).await?;
            answer.clear();
        }
    }
}

/// Reads a message, and keeps it as it came.
async fn message(from: &mut OwnedReadHalf, kept: &mut Vec<u8>) -> std::io::Result<(u8, Vec<u8>)> {
    let letter = from.read_u8().await?;
    let length = from.read_u32().await?;
    let mut body = vec![0; length as usize - 4];
    from.read_exact(&mut body).await?;
    kept.push(letter);
    kept.extend_from_slice(&length.to_be_bytes());
    kept.extend_from_slice(&body);
    Ok((letter, body))
}
