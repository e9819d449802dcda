//! Which hosts are this machine.

use std::net::IpAddr;

/// Whether a host is this machine, by its name alone. An IPv6 address may be in brackets.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
