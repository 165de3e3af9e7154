//! The listener: HTTP/1.1 and HTTP/2, plain or TLS, and from a request on the wire to an answer on it.
//!
//! One listener serves the login host and the Graph host: what a request is for is told by its path.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use crate::api::{ApiRequest, ApiResponse, Body, RawRequest, parse_query};
use crate::exchange::{self, Reply};
use crate::faults::{Fault, Named};
use crate::options::{Quirk, Throttle};
use crate::world::World;
use crate::{
    auth, calendar, control, drive, exchange_admin, log, mail, reports, route, sites, throttle,
};

/// Largest request body taken at all; the handlers have smaller limits of their own.
const MAX_BODY: usize = 260 << 20;

type WireBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// Accepts connections until `stop` changes.
pub async fn serve(
    world: Arc<World>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        let Ok((socket, _)) = accepted else {
            // Out of file descriptors, most likely: wait for some to close.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (world, tls, stop) = (world.clone(), tls.clone(), stop.clone());
        tokio::spawn(async move {
            let _ = socket.set_nodelay(true);
            match tls {
                None => connection(world, TokioIo::new(socket), "http", stop).await,
                Some(tls) => {
                    if let Ok(socket) = tls.accept(socket).await {
                        connection::<TokioIo<tokio_rustls::server::TlsStream<TcpStream>>>(
                            world,
                            TokioIo::new(socket),
                            "https",
                            stop,
                        )
                        .await;
                    }
                }
            }
        });
    }
}

async fn connection<I>(
    world: Arc<World>,
    io: I,
    scheme: &'static str,
    mut stop: watch::Receiver<bool>,
) where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    // Notified when a fault asks the client to go elsewhere.
    let leave = Arc::new(Notify::new());
    let service = service_fn({
        let leave = leave.clone();
        move |request| {
            let (world, leave) = (world.clone(), leave.clone());
            async move { answer(&world, request, scheme, &leave).await }
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(io, service);
    tokio::pin!(connection);
    loop {
        tokio::select! {
            biased;
            () = leave.notified() => connection.as_mut().graceful_shutdown(),
            _ = stop.changed() => return,
            // A broken connection is the client's affair, or was asked for by a fault.
            _ = connection.as_mut() => return,
        }
    }
}

/// The error of a service ends its connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed by a scripted fault")]
struct Hangup;

/// One request on the wire, read in full.
struct Wire {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
    base_url: String,
    scheme: &'static str,
}

async fn answer(
    world: &World,
    request: Request<Incoming>,
    scheme: &'static str,
    leave: &Notify,
) -> Result<Response<WireBody>, Hangup> {
    let (parts, body) = request.into_parts();
    let host = parts
        .headers
        .get("host")
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned)
        .or_else(|| parts.uri.authority().map(|a| a.to_string()))
        .unwrap_or_else(|| "localhost".to_owned());
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(on_wire(world, ApiResponse::empty(413), None, false)),
    };
    let wire = Wire {
        method: parts.method,
        target: parts
            .uri
            .path_and_query()
            .map_or("/", |p| p.as_str())
            .to_owned(),
        headers: parts.headers,
        body,
        base_url: format!("{scheme}://{host}"),
        scheme,
    };
    let head = wire.method == Method::HEAD;
    let raw_path = wire.target.split('?').next().unwrap_or("/");
    let path: Vec<String> = raw_path
        .split('/')
        .filter(|s| !s.is_empty())
        .map(|s| {
            percent_encoding::percent_decode_str(s)
                .decode_utf8_lossy()
                .into_owned()
        })
        .collect();
    if path.first().is_some_and(|s| s == "_emulator") {
        return Ok(on_wire(
            world,
            control::handle(world, &wire.method, &path, &wire.body),
            None,
            head,
        ));
    }
    let reply = match ApiRequest::parse(
        if head {
            Method::GET
        } else {
            wire.method.clone()
        },
        &wire.target,
    ) {
        Some(request) => api(world, request, &wire),
        None => raw(world, path, &wire),
    };
    let delay = world.options.latency_ms * u64::from(reply.rounds)
        + match &reply.fault {
            Some(Fault::Delay { delay_ms }) => *delay_ms,
            _ => 0,
        };
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if world.log.is_on() && !reply.fault.as_ref().is_some_and(Fault::is_silent) {
        record(world, &wire, &reply.response);
    }
    match &reply.fault {
        Some(Fault::Named(Named::Reset)) => return Err(Hangup),
        Some(Fault::Named(Named::GoAway)) => {
            leave.notify_one();
            // The connection hears of it before it has the answer.
            tokio::task::yield_now().await;
        }
        _ => {}
    }
    let response = on_wire(world, reply.response, reply.fault.as_ref(), head);
    drop(reply.places);
    Ok(response)
}

fn api(world: &World, mut request: ApiRequest, wire: &Wire) -> Reply {
    request.headers = wire.headers.clone();
    request.body = wire.body.clone();
    request.base_url = wire.base_url.clone();
    match world.auth.caller(world, &wire.headers) {
        Ok(caller) => {
            request.caller = caller;
            guarded(|| exchange::call(world, &mut request, true))
        }
        Err(mut refusal) => {
            let template = route::template(request.version.as_str(), &request.path);
            world.counts.add(request.method.as_str(), &template, 401, 0);
            exchange::finish(world, request.header("client-request-id"), &mut refusal);
            Reply {
                response: refusal,
                fault: None,
                places: Vec::new(),
                rounds: 1,
            }
        }
    }
}

/// A handler that panics answers 500, and is a defect to find in the log.
fn guarded(handle: impl FnOnce() -> Reply) -> Reply {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(handle)).unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        Reply {
            response: ApiResponse::error(
                500,
                "InternalServerError",
                "The emulator has a defect: a handler panicked.",
            ),
            fault: None,
            places: Vec::new(),
            rounds: 1,
        }
    })
}

/// What is not below `/v1.0` or `/beta`: sign-in, and pre-authenticated URLs.
fn raw(world: &World, path: Vec<String>, wire: &Wire) -> Reply {
    let template = route::raw_template(&path);
    let (raw_path, query) = wire.target.split_once('?').unwrap_or((&wire.target, ""));
    let method = wire.method.as_str();
    let fault = world.faults.pick(method, &template, raw_path, query);
    let after = matches!(&fault, Some(Fault::Status { after: true, .. }));
    let mut reply = match fault.as_ref().filter(|_| !after).and_then(Fault::answer) {
        Some(response) => Reply {
            response,
            fault: None,
            places: Vec::new(),
            rounds: 1,
        },
        None => guarded(|| metered(world, path, wire)),
    };
    if let Some(fault) = fault {
        world.faults.done_with(&fault);
        reply.response = fault.spoil(reply.response);
        reply.fault = Some(fault);
    }
    world.counts.add(
        wire.method.as_str(),
        &template,
        reply.response.status.as_u16(),
        0,
    );
    reply
}

/// What is outside the API has no limits, but for imports: they draw on their mailbox's budget.
fn metered(world: &World, path: Vec<String>, wire: &Wire) -> Reply {
    let mut reply = Reply {
        response: ApiResponse::no_content(),
        fault: None,
        places: Vec::new(),
        rounds: 1,
    };
    let key = match world.options.throttle {
        Throttle::Off => None,
        Throttle::Real => {
            exchange_admin::session_key(world, &raw_request(path.clone(), query(wire), wire))
        }
    };
    if let Some(key) = key {
        let admitted = world
            .throttle
            .admit_mailbox(world, &key, wire.body.len() as u64);
        match (world.throttle.enter(&key), admitted) {
            (None, _) => {
                reply.response = throttle::over_concurrency();
                return reply;
            }
            (Some(_), Err(refusal)) => {
                reply.response = refusal;
                return reply;
            }
            (Some(place), Ok(_)) => reply.places.push(place),
        }
    }
    reply.response = raw_handle(world, path, wire);
    reply
}

fn query(wire: &Wire) -> Vec<(String, String)> {
    parse_query(wire.target.split_once('?').map_or("", |(_, q)| q))
}

fn raw_handle(world: &World, path: Vec<String>, wire: &Wire) -> ApiResponse {
    let query = query(wire);
    let lower: Vec<String> = path.iter().map(|s| s.to_ascii_lowercase()).collect();
    let names: Vec<&str> = lower.iter().map(String::as_str).collect();
    let tenant = path.first().map(String::as_str).unwrap_or_default();
    let post = wire.method == Method::POST;
    if sites::rest::is_rest(&path) {
        return sites::rest::handle(world, &raw_request(path, query, wire));
    }
    match names.as_slice() {
        [] => ApiResponse::bytes(200, "graph-emulator\n", "text/plain"),
        ["_upload", "mail", ..] => {
            mail::attachments::upload(world, &raw_request(path, query, wire))
        }
        ["_report", ..] => reports::handle_raw(world, &raw_request(path, query, wire)),
        ["_upload", "calendar", ..] => calendar::upload(world, &raw_request(path, query, wire)),
        ["api", ..] => exchange_admin::handle_raw(world, &raw_request(path, query, wire)),
        ["_download" | "_upload" | "_monitor", ..] => {
            drive::handle_raw(world, &raw_request(path, query, wire))
        }
        [_, "oauth2", "v2.0", "token"] | [_, "oauth2", "token"] if post => {
            auth::token(world, tenant, &wire.base_url, &wire.headers, &wire.body)
        }
        [_, "oauth2", "v2.0", "devicecode"] if post => {
            auth::device_code(world, &wire.base_url, &wire.headers, &wire.body)
        }
        [_, "v2.0", ".well-known", "openid-configuration"]
        | [_, ".well-known", "openid-configuration"] => {
            auth::openid_configuration(world, tenant, &wire.base_url)
        }
        [_, "discovery", "v2.0", "keys"] => ApiResponse::ok(json!({"keys": []})),
        [_, "discovery", "instance"] => auth::discovery(world, &wire.base_url),
        ["metadata", "identity", "oauth2", "token"] => {
            auth::managed_identity(world, &wire.base_url, &wire.headers, &query)
        }
        [_, "adminconsent"] | [_, "v2.0", "adminconsent"] => admin_consent(world, &query),
        _ => ApiResponse::error(404, "NotFound", "There is nothing at this address."),
    }
}

fn admin_consent(world: &World, query: &[(String, String)]) -> ApiResponse {
    let get = |name: &str| {
        query
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    match get("redirect_uri") {
        Some(target) => {
            let state = get("state").unwrap_or_default();
            ApiResponse::redirect(&format!(
                "{target}?admin_consent=True&tenant={}&state={state}",
                world.options.tenant
            ))
        }
        None => ApiResponse::error(400, "invalid_request", "redirect_uri is missing."),
    }
}

fn raw_request(path: Vec<String>, query: Vec<(String, String)>, wire: &Wire) -> RawRequest {
    RawRequest {
        method: if wire.method == Method::HEAD {
            Method::GET
        } else {
            wire.method.clone()
        },
        path,
        query,
        headers: wire.headers.clone(),
        body: wire.body.clone(),
        base_url: wire.base_url.clone(),
    }
}

fn record(world: &World, wire: &Wire, response: &ApiResponse) {
    let content_type = wire
        .headers
        .get("content-type")
        .and_then(|v| v.to_str().ok());
    let sign_in = wire.target.contains("/oauth2/");
    let request_body = match content_type {
        _ if sign_in => Value::Null,
        Some(kind) if !kind.contains("json") && !wire.body.is_empty() => {
            json!({"$binary": wire.body.len()})
        }
        kind => log::body(&wire.body, kind),
    };
    let response_body = match &response.body {
        _ if sign_in => Value::Null,
        Body::Empty => Value::Null,
        Body::Json(value) => value.clone(),
        Body::Bytes(bytes, _) => json!({"$binary": bytes.len()}),
        Body::Chunks { length, .. } => json!({"$binary": length}),
    };
    world.log.write(&json!({
        "time": crate::clock::rfc3339(world.clock.now()), "method": wire.method.as_str(), "scheme": wire.scheme,
        "url": format!("{}{}", wire.base_url, wire.target), "status": response.status.as_u16(),
        "request_headers": log::headers(&wire.headers), "request_body": request_body,
        "response_headers": log::headers(&response.headers), "response_body": response_body,
    }));
}

/// The answer as it goes out, spoilt by what a fault does to the connection.
fn on_wire(
    world: &World,
    response: ApiResponse,
    fault: Option<&Fault>,
    head: bool,
) -> Response<WireBody> {
    let (length, content_type, pieces): (u64, Option<String>, BoxStream<'static, Bytes>) =
        match response.body {
            Body::Empty => (0, None, stream::empty().boxed()),
            Body::Json(value) => {
                let mut bytes = value.to_string().into_bytes();
                if world.options.has(Quirk::ControlCharacters) {
                    bytes = with_raw_controls(&bytes);
                }
                let kind = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";
                let kind =
                    if value.get("access_token").is_some() || value.get("error_codes").is_some() {
                        "application/json; charset=utf-8"
                    } else {
                        kind
                    };
                (
                    bytes.len() as u64,
                    Some(kind.to_owned()),
                    stream::iter([Bytes::from(bytes)]).boxed(),
                )
            }
            Body::Bytes(bytes, kind) => (
                bytes.len() as u64,
                Some(kind),
                stream::iter([bytes]).boxed(),
            ),
            Body::Chunks {
                length,
                content_type,
                pieces,
            } => (length, Some(content_type), stream::iter(pieces).boxed()),
        };
    let mut out = Response::new(WireBody::default());
    *out.status_mut() = response.status;
    let headers = out.headers_mut();
    headers.extend(response.headers);
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value)
            && !headers.contains_key(name)
        {
            headers.insert(name, value);
        }
    };
    if let Some(kind) = &content_type {
        set("content-type", kind);
        if kind.contains("odata.metadata") {
            set("odata-version", "4.0");
        }
    }
    set(
        "x-ms-ags-diagnostic",
        r#"{"ServerInfo":{"DataCenter":"Emulator","Slice":"E","Ring":"0","ScaleUnit":"001","RoleInstance":"EM00000001"}}"#,
    );
    set("strict-transport-security", "max-age=31536000");
    set("vary", "Accept-Encoding");
    if response.status.as_u16() != 204 {
        set("content-length", &length.to_string());
    }
    if !head && length > 0 {
        *out.body_mut() = WireBody::new(StreamBody::new(paced(pieces, fault)));
    }
    out
}

type Pieces = BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>;

/// The pieces of a body: cut off or slowed down when a fault says so.
fn paced(pieces: BoxStream<'static, Bytes>, fault: Option<&Fault>) -> Pieces {
    match fault {
        Some(Fault::Truncate { truncate }) => {
            let mut left = *truncate as usize;
            let cut = pieces
                .map(move |mut piece| {
                    piece.truncate(left);
                    left -= piece.len();
                    piece
                })
                .take_while(|piece| std::future::ready(!piece.is_empty()))
                .map(|piece| Ok(Frame::data(piece)));
            // What comes before the cut has to be on the wire first.
            let hangup = stream::once(async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(std::io::Error::other(Hangup))
            });
            cut.chain(hangup).boxed()
        }
        Some(Fault::Slow { slow }) => {
            let step = (*slow as usize / 10).max(1);
            pieces
                .flat_map(move |piece| stream::iter(split(piece, step)))
                .then(|piece| async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    Ok(Frame::data(piece))
                })
                .boxed()
        }
        _ => pieces
            .map(|piece| Ok::<_, Infallible>(Frame::data(piece)))
            .map(|r| r.map_err(|e| match e {}))
            .boxed(),
    }
}

fn split(mut piece: Bytes, step: usize) -> Vec<Bytes> {
    let mut out = Vec::new();
    while piece.len() > step {
        out.push(piece.split_to(step));
    }
    out.push(piece);
    out
}

/// Writes control characters in JSON strings raw, as Exchange has been seen to.
fn with_raw_controls(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut at = 0;
    while at < json.len() {
        let escape = json.get(at..at + 6).filter(|e| e.starts_with(b"\\u00"));
        let code = escape
            .and_then(|e| std::str::from_utf8(&e[4..]).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match code.filter(|c| *c < 0x20) {
            Some(code) => {
                out.push(code);
                at += 6;
            }
            None if json[at] == b'\\' => {
                out.extend_from_slice(&json[at..(at + 2).min(json.len())]);
                at += 2;
            }
            None => {
                out.push(json[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_come_raw_only_where_they_were_escaped() {
        assert_eq!(
            with_raw_controls(br#"{"a":"x\u000by\\u000bz\n\"\u00e9"}"#),
            b"{\"a\":\"x\x0by\\\\u000bz\\n\\\"\\u00e9\"}"
        );
    }
}
