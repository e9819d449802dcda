//! Upgraded connections, where the policy lets an API have them: bytes both ways, unread.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::accept::Door;

/// Carries bytes between the two ends until one of them closes. The door is kept: a tunnel is a
/// connection that counts.
pub async fn carry(client: OnUpgrade, server: OnUpgrade, door: Arc<Door>) {
    let (Ok(client), Ok(server)) = tokio::join!(client, server) else { return };
    let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
    // Whatever ends it, both ends see it.
    let _ = copy_bidirectional(&mut client, &mut server).await;
    drop(door);
}
