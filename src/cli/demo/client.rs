//! The clients of the demo: a LIMS, a clinician, billing, a stranger. Plain HTTP, one connection per
//! request, no knowledge of labseal.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const ANSWER_LIMIT: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// Someone who talks to an API.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    key: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header `Labseal-Error`, which stands on refusals of labseal and on nothing else.
    pub refused: Option<String>,
    /// The body.
    pub body: String,
}

impl Client {
    /// A client of the API at `address`, perhaps with an API key.
    pub fn new(address: SocketAddr, key: Option<&str>) -> Self {
        Self { address, key: key.map(str::to_owned) }
    }

    /// Reads.
    pub async fn read(&self, target: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, target, "").await
    }

    /// Adds records.
    pub async fn create(&self, target: &str, body: &str) -> anyhow::Result<Answer> {
        self.send(Method::POST, target, body).await
    }

    /// Sends a request, and waits for the whole answer.
    pub async fn send(&self, method: Method, target: &str, body: &str) -> anyhow::Result<Answer> {
        let exchange = self.exchange(method, target, body);
        tokio::time::timeout(PATIENCE, exchange).await.context("no answer in time")?
    }

    async fn exchange(&self, method: Method, target: &str, body: &str) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, self.address.to_string())
            .header("prefer", "return=representation");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &self.key {
            request = request.header("x-api-key", key);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned())))?;
        let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await;
        connection.abort();
        let body = body.map_err(|_| anyhow::anyhow!("the answer broke off"))?.to_bytes();
        let refused = head.headers.get("labseal-error").and_then(|value| value.to_str().ok());
        Ok(Answer {
            status: head.status,
            refused: refused.map(str::to_owned),
            body: String::from_utf8(body.into()).context("the answer is not text")?,
        })
    }
}

/// Spells a value for a query string.
pub fn encode(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}
