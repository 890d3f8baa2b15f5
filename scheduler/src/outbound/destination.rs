//! Where a request goes: from its URI to addresses that it may be sent to.

use crate::address;
use futures::future::BoxFuture;
use http::{Uri, uri::Scheme};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    sync::Arc,
};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::Error;

/// The addresses of a name, with the port.
pub(super) type Resolve = dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// Names that are being looked up at once: the system does it on threads, of which there are only so many, and goes on
/// when nobody waits for it any more.
const LOOKUPS: usize = 128;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// The resolver of the system.
pub(super) fn system_resolver() -> Box<Resolve> {
    let lookups = Arc::new(Semaphore::new(LOOKUPS));
    Box::new(move |host, port| {
        let lookups = lookups.clone();
        Box::pin(async move {
            let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
            let lookup = move || {
                let _until_the_thread_is_free = permit;
                Ok((host, port).to_socket_addrs()?.collect())
            };
            tokio::task::spawn_blocking(lookup).await.map_err(io::Error::other)?
        })
    })
}

/// An origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) https: bool,
    /// Lower case; an IPv6 address in brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    pub(super) fn of(uri: &Uri) -> Result<Self, Error> {
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        if authority.as_str().contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        let https = uri.scheme() == Some(&Scheme::HTTPS);
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        Ok(Self { https, host, port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }) })
    }

    /// The host as resolvers and certificates write it.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// Says which addresses a target has that may be reached.
pub(super) struct Destinations {
    control_port: u16,
    resolve: Box<Resolve>,
}

impl Destinations {
    pub(super) fn new(control: SocketAddr, resolve: Box<Resolve>) -> Self {
        Self { control_port: control.port(), resolve }
    }

    /// Resolves the target, once: what comes out is what is connected to.
    pub(super) async fn of(&self, target: &Target, allow_private: bool) -> Result<Vec<SocketAddr>, Error> {
        let unknown = |_| Error::DnsError { rcode: Some("the name does not resolve".into()), info_code: None };
        let host = target.bare_host();
        let resolved = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, target.port)],
            Err(_) => (self.resolve)(host.to_owned(), target.port).await.map_err(unknown)?,
        };
        let allowed = resolved.into_iter().filter(|address| self.allows(*address, allow_private));
        let addresses: Vec<_> = allowed.take(ADDRESSES).collect();
        if addresses.is_empty() { Err(Error::DestinationIpProhibited) } else { Ok(addresses) }
    }

    /// Whether a function may connect to an address. This machine's own are private, whatever the internet calls them;
    /// its control plane is nobody's, on whichever of its addresses.
    fn allows(&self, address: SocketAddr, allow_private: bool) -> bool {
        let ip = address::plain(address.ip());
        if is_own(ip) {
            return allow_private && address.port() != self.control_port;
        }
        allow_private || address::is_public(ip)
    }
}

/// Whether an address is one of this machine's.
fn is_own(ip: IpAddr) -> bool {
    let elsewhere: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(), // of the documentation, RFC 5737
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), // RFC 3849
    };
    // The kernel binds to its own addresses alone, and knows them best: they come and go. Where it is set to bind to any
    // (`ip_nonlocal_bind`), it does so too to one that nobody has, and its answer means nothing.
    ip.is_loopback() || ip.is_unspecified() || (binds(ip) && !binds(elsewhere))
}

fn binds(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_from_the_uri_alone() {
        let target = Target::of(&"https://API.Example.com./x".parse().unwrap()).unwrap();
        assert_eq!((target.https, target.host.as_str(), target.port), (true, "api.example.com", 443));
        let target = Target::of(&"http://[::1]:81/".parse().unwrap()).unwrap();
        assert_eq!((target.https, target.bare_host(), target.port), (false, "::1", 81));
        assert!(Target::of(&"http://good@evil/".parse().unwrap()).is_err(), "user info hides the host");
    }

    /// An address of this machine by which it reaches others, where it has one.
    fn outward() -> Option<IpAddr> {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        // Nothing is sent: the kernel only chooses an address.
        socket.connect("192.0.2.1:9").ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    }

    #[test]
    fn knows_its_own_addresses() {
        let own = ["127.0.0.1", "127.3.2.1", "0.0.0.0", "::1", "::"].map(|ip| ip.parse().unwrap());
        for ip in own.into_iter().chain(outward()) {
            assert!(is_own(ip), "{ip}");
        }
        for ip in ["1.1.1.1", "192.0.2.1", "192.0.2.77", "2606:4700::1111"] {
            assert!(!is_own(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn its_own_addresses_are_private_and_the_control_plane_is_nobodys() {
        let destinations = Destinations::new("0.0.0.0:8081".parse().unwrap(), system_resolver());
        let mut own: Vec<_> = ["127.0.0.1", "127.1.1.1", "0.0.0.0"].map(|ip| ip.parse().unwrap()).into();
        own.extend(outward());
        for ip in own {
            let IpAddr::V4(v4) = ip else { panic!("{ip}") };
            // However it is written: as it is, mapped, translated, tunnelled.
            let [a, b, c, d] = v4.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            for ip in
                [ip, v4.to_ipv6_mapped().into(), nat64.into(), Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into()]
            {
                let allows = |port, private| destinations.allows(SocketAddr::new(ip, port), private);
                assert!(!allows(8080, false) && !allows(8081, false), "{ip}");
                assert!(allows(8080, true) && !allows(8081, true), "{ip}");
            }
        }
        let elsewhere = |port, private| destinations.allows(SocketAddr::new([10, 99, 99, 99].into(), port), private);
        assert!(elsewhere(8081, true) && !elsewhere(8081, false), "the port is denied here, not everywhere");
    }
}
