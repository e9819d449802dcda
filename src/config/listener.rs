//! The section `listeners:`: where clients connect.

use std::{net::SocketAddr, path::PathBuf};

use crate::policy::{
    diagnostic::{Place, Problems},
    document::{Fields, Node, list, text, truth},
};

use super::reference::FileRef;

/// Where clients connect.
#[derive(Debug)]
pub struct Listener {
    /// Its name, for `apis:`.
    pub name: String,
    /// Where it listens.
    pub bind: Bind,
    /// TLS, unless left out.
    pub tls: Option<ListenerTls>,
    pub(super) at: Place,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// TLS of a listener.
#[derive(Debug)]
pub struct ListenerTls {
    /// The chain, leaf first, in PEM.
    pub cert: FileRef,
    /// Its key, in PEM.
    pub key: FileRef,
    /// Whose client certificates are asked for and verified.
    pub client_ca: Option<FileRef>,
}

impl ListenerTls {
    pub(super) fn files(&self) -> impl Iterator<Item = &FileRef> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca)
    }
}

/// Reads the section.
pub(super) fn read(node: &Node, problems: &mut Problems) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    for item in list(node, "listeners", problems).unwrap_or_default() {
        let Some(listener) = listener(item, problems) else { continue };
        for other in &listeners {
            if other.name == listener.name {
                let message = format!("two listeners are named `{}`", listener.name);
                problems.error(listener.at, message, "give each a name of its own");
            }
            if other.bind == listener.bind && !is_any_port(&listener.bind) {
                let message = format!("`{}` binds the address of `{}`", listener.name, other.name);
                problems.error(listener.at, message, "bind each to an address of its own");
            }
        }
        listeners.push(listener);
    }
    listeners
}

/// Port 0 is another port each time.
fn is_any_port(bind: &Bind) -> bool {
    matches!(bind, Bind::Tcp(address) if address.port() == 0)
}

fn listener(node: &Node, problems: &mut Problems) -> Option<Listener> {
    let mut fields = Fields::of(node, "a listener", problems)?;
    let name = fields.required("name", "add a name, for apis: to refer to", problems);
    let bind = fields.required("bind", "add bind: \"127.0.0.1:8443\"", problems);
    let tls = fields.optional("tls");
    let danger = fields.optional("danger_plaintext");
    fields.finish(problems);
    let name = name.and_then(|node| text(node, "name", problems));
    let address = bind.and_then(|node| bind_address(node, problems));
    let has_tls = tls.is_some();
    let tls = tls.and_then(|node| tls_section(node, problems));
    let danger = danger.and_then(|node| truth(node, "danger_plaintext", problems));
    let (name, bind, address) = (name?, bind?, address?);
    if !has_tls && !is_local(&address) && danger != Some(true) {
        let message = "without TLS, everybody on the network sees what is opened here";
        let remedy = "add tls:, bind to a loopback address, or write danger_plaintext: true";
        problems.error(bind.at, message, remedy);
    }
    Some(Listener { name: name.to_owned(), bind: address, tls, at: node.at })
}

fn is_local(bind: &Bind) -> bool {
    match bind {
        Bind::Tcp(address) => address.ip().is_loopback(),
        Bind::Unix(_) => true,
    }
}

fn bind_address(node: &Node, problems: &mut Problems) -> Option<Bind> {
    let found = text(node, "bind", problems)?;
    let Some(path) = found.strip_prefix("unix:") else {
        return address(node, "bind", problems).map(Bind::Tcp);
    };
    if path.is_empty() {
        problems.error(node.at, "bind names no socket", "write \"unix:/run/labseal/lims.sock\"");
        return None;
    }
    Some(Bind::Unix(FileRef::resolve(path, node.at, problems).into_path()))
}

/// Reads `ip:port`.
pub(super) fn address(node: &Node, what: &str, problems: &mut Problems) -> Option<SocketAddr> {
    let found = text(node, what, problems)?;
    let address = found.parse().ok();
    if address.is_none() {
        let message = format!("{what} cannot be `{found}`");
        problems.error(node.at, message, "write an IP address and a port, like 127.0.0.1:8443");
    }
    address
}

fn tls_section(node: &Node, problems: &mut Problems) -> Option<ListenerTls> {
    let mut fields = Fields::of(node, "tls", problems)?;
    fields.later(&["acme", "min_version"]);
    let cert = fields.required("cert", "add cert: \"file:tls/cert.pem\"", problems);
    let key = fields.required("key", "add key: \"file:tls/key.pem\"", problems);
    let client_ca = fields.optional("client_ca");
    fields.finish(problems);
    let cert = cert.and_then(|node| FileRef::tagged(node, "cert", problems));
    let key = key.and_then(|node| FileRef::secret(node, "key", problems));
    let client_ca = match client_ca {
        Some(node) => Some(FileRef::tagged(node, "client_ca", problems)?),
        None => None,
    };
    Some(ListenerTls { cert: cert?, key: key?, client_ca })
}
