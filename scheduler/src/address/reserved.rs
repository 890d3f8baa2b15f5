//! The address filter's opposite, for its tests: ranges as the registries write them, compared bit by bit.
//! Written apart from the filter, so that one mistake is not made twice.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is not the public internet: the IANA special-purpose address registries, multicast, and the old site-local
/// range. IPv6 ranges that carry an IPv4 address are not here: see [`disguises`].
pub(crate) const RANGES: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Prefixes behind which the next 32 bits are an IPv4 address, with the length of the prefix in bits.
const CARRIERS: &[(&str, u32)] =
    &[("::", 96), ("::ffff:0:0", 96), ("::ffff:0:0:0", 96), ("64:ff9b::", 96), ("2002::", 16)];

/// The range that holds the address, or the IPv4 address that it carries; `None` for a public one.
pub(crate) fn reserved(address: IpAddr) -> Option<&'static str> {
    let carried = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => carried(address),
    };
    let holds = |range: &&&str| holds(range, address) || carried.is_some_and(|it| holds(range, it.into()));
    RANGES.iter().find(holds).copied()
}

fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let (_, length) = CARRIERS.iter().find(|(prefix, length)| {
        let prefix: Ipv6Addr = prefix.parse().unwrap();
        bits >> (128 - length) == prefix.to_bits() >> (128 - length)
    })?;
    Some(Ipv4Addr::from_bits((bits >> (96 - length)) as u32))
}

/// The IPv4 address in every form of IPv6 that carries one; `rest` fills the bits behind it.
pub(crate) fn disguises(address: Ipv4Addr, rest: u128) -> impl Iterator<Item = Ipv6Addr> {
    CARRIERS.iter().map(move |(prefix, length)| {
        let prefix: Ipv6Addr = prefix.parse().unwrap();
        let below = 96 - length;
        let rest = rest & ((1 << below) - 1);
        Ipv6Addr::from_bits(prefix.to_bits() | u128::from(address.to_bits()) << below | rest)
    })
}

fn holds(range: &str, address: IpAddr) -> bool {
    let (first, last) = bounds(range);
    first.is_ipv4() == address.is_ipv4() && first <= address && address <= last
}

/// The first and the last address of a range.
pub(crate) fn bounds(range: &str) -> (IpAddr, IpAddr) {
    (within(range, 0), within(range, u128::MAX))
}

/// An address of the range: its free bits are taken from `bits`.
pub(crate) fn within(range: &str, bits: u128) -> IpAddr {
    let (first, length) = range.split_once('/').unwrap();
    let length: u32 = length.parse().unwrap();
    match first.parse().unwrap() {
        IpAddr::V4(first) => {
            let free = u32::MAX.checked_shr(length).unwrap_or(0);
            Ipv4Addr::from_bits(first.to_bits() | bits as u32 & free).into()
        }
        IpAddr::V6(first) => {
            let free = u128::MAX.checked_shr(length).unwrap_or(0);
            Ipv6Addr::from_bits(first.to_bits() | bits & free).into()
        }
    }
}
