//! A proxy in front of an object store that counts requests, delays them, and breaks them.
//!
//! It passes bytes on as they are (the store checks signatures over them) and understands of HTTP
//! only where a message ends. Each request goes to the store on a connection of its own.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Result;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The proxy answers with this status and an S3 error of this code, and asks nobody.
    Answer(u16, &'static str),
    /// No answer, until the fault is lifted.
    Hang,
    /// The connection is closed without an answer.
    Reset,
    /// The answer breaks off after half of its body.
    Truncate,
}

/// Requests whose `METHOD /path` holds `part` suffer `fault`.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub part: &'static str,
    pub fault: Fault,
}

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    stopped: AtomicBool,
    state: Mutex<State>,
}

struct State {
    upstream: SocketAddr,
    latency: Duration,
    rules: Vec<Rule>,
    requests: Vec<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panicking thread of a test must not hide behind this one.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Proxy {
    /// Starts in front of a store.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            stopped: AtomicBool::new(false),
            state: Mutex::new(State {
                upstream,
                latency: Duration::ZERO,
                rules: Vec::new(),
                requests: Vec::new(),
            }),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = accepting.clone();
                // What breaks here shows at the client.
                std::thread::spawn(move || drop(serve(&shared, client)));
            }
        });
        Ok(Self { address, shared })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends requests to another node from now on.
    pub fn redirect(&self, upstream: SocketAddr) {
        self.shared.state().upstream = upstream;
    }

    /// Waits so long with each request.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.state().latency = latency;
    }

    /// Breaks what these rules say, and nothing else from now on.
    pub fn set_rules(&self, rules: &[Rule]) {
        self.shared.state().rules = rules.to_vec();
    }

    /// The requests since the last call, `METHOD /path?query`.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state().requests)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.set_rules(&[]);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(shared: &Shared, client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    while let Some(request) = Message::read(&mut reader, false)? {
        let (upstream, latency, fault) = {
            let mut state = shared.state();
            state.requests.push(request.line.clone());
            (state.upstream, state.latency, fault(&state, &request.line))
        };
        std::thread::sleep(latency);
        match fault {
            Some(Fault::Answer(status, code)) => {
                let body = format!("<Error><Code>{code}</Code><Message>told to</Message></Error>");
                let length = body.len();
                write!(
                    client,
                    "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\n\r\n"
                )?;
                if !request.line.starts_with("HEAD ") {
                    client.write_all(body.as_bytes())?;
                }
                continue;
            }
            Some(Fault::Hang) => {
                while self::fault(&shared.state(), &request.line) == Some(Fault::Hang) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                return client.shutdown(Shutdown::Both);
            }
            Some(Fault::Reset) => return client.shutdown(Shutdown::Both),
            Some(Fault::Truncate) | None => {}
        }
        let mut store = TcpStream::connect(upstream)?;
        store.set_nodelay(true)?;
        store.write_all(&request.bytes)?;
        let no_body = request.line.starts_with("HEAD ");
        let Some(answer) = Message::read(&mut BufReader::new(store), no_body)? else {
            return client.shutdown(Shutdown::Both);
        };
        if fault == Some(Fault::Truncate) && answer.bytes.len() > answer.head {
            let half = answer.head + (answer.bytes.len() - answer.head) / 2;
            client.write_all(&answer.bytes[..half])?;
            return client.shutdown(Shutdown::Both);
        }
        client.write_all(&answer.bytes)?;
    }
    Ok(())
}

fn fault(state: &State, line: &str) -> Option<Fault> {
    let mut rules = state.rules.iter();
    rules
        .find(|rule| line.contains(rule.part))
        .map(|rule| rule.fault)
}

/// A request or an answer as it came.
struct Message {
    /// Of a request, `METHOD /path`.
    line: String,
    bytes: Vec<u8>,
    /// Bytes of the first line and the headers.
    head: usize,
}

impl Message {
    /// `None` at the end of the connection.
    fn read(reader: &mut impl BufRead, no_body: bool) -> std::io::Result<Option<Self>> {
        let (mut bytes, mut length, mut chunked) = (Vec::new(), 0, false);
        loop {
            let start = bytes.len();
            if reader.read_until(b'\n', &mut bytes)? == 0 {
                return Ok(None);
            }
            let line = String::from_utf8_lossy(&bytes[start..]).to_ascii_lowercase();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| ErrorKind::InvalidData)?;
            }
            chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        let head = bytes.len();
        let first = String::from_utf8_lossy(&bytes);
        let mut words = first.split(' ');
        let line = [words.next(), words.next()].map(Option::unwrap_or_default);
        let line = line.join(" ");
        while !no_body && chunked {
            let start = bytes.len();
            reader.read_until(b'\n', &mut bytes)?;
            let size = String::from_utf8_lossy(&bytes[start..]).trim().to_owned();
            let size = u64::from_str_radix(&size, 16).map_err(|_| ErrorKind::InvalidData)?;
            reader.take(size + 2).read_to_end(&mut bytes)?;
            chunked = size > 0;
        }
        if !no_body {
            reader.take(length).read_to_end(&mut bytes)?;
        }
        Ok(Some(Self { line, bytes, head }))
    }
}
