//! Which addresses a function may reach: public ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True for an address that belongs to the public internet: not the host itself, not a neighbour in its
/// network, not a cloud's metadata service, and none of these behind an IPv6 transition form.
/// Sources: IANA special-purpose address registries (RFC 6890 and updates).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The address that one of these stands for: the IPv4 address within an IPv6 one, or itself.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0                                // this network, RFC 791
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || (a == 100 && (64..128).contains(&b))         // carrier-grade NAT, RFC 6598
        || (a == 192 && b == 0 && c == 0)               // IETF protocol assignments, RFC 6890
        || (a == 192 && b == 88 && c == 99)             // 6to4 relay anycast, RFC 7526
        || (a == 198 && (b == 18 || b == 19))           // benchmarking, RFC 2544
        || address.is_documentation()
        || address.is_multicast()
        || a >= 240; // reserved and broadcast, RFC 1112
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    let [a, b, ..] = address.segments();
    // Global unicast is 2000::/3; everything else (unspecified, loopback, ULA, link-local, multicast,
    // the old site-local, the discard prefix) is not for functions.
    let global = a & 0xe000 == 0x2000;
    // 2001::/23 is protocol assignments with Teredo and ORCHID, RFC 2928; 2001:db8::/32 documentation, RFC 3849.
    let special = (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || (a == 0x3fff && b < 0x1000); // documentation, RFC 9637
    global && !special
}

/// The IPv4 address that an IPv6 address stands for, where a host or a gateway would translate it.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] => v4(high, low), // IPv4-mapped, RFC 4291
        [0, 0, 0, 0, 0xffff, 0, high, low] => v4(high, low), // IPv4-translated, RFC 2765
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low), // IPv4-compatible, RFC 4291
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low), // NAT64, RFC 6052
        [0x64, 0xff9b, 1, ..] => Some(Ipv4Addr::LOCALHOST),  // local-use NAT64, RFC 8215: never public
        [0x2002, high, low, ..] => v4(high, low),            // 6to4, RFC 3056
        _ => None,
    }
}

#[cfg(test)]
mod reserved;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_not_public() {
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "100::1",
            "::ffff:0:127.0.0.1",
            "3fff::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address} must be refused");
        }
    }

    #[test]
    fn allows_the_public_internet() {
        for address in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address} must be allowed");
        }
    }

    proptest! {
        #[test]
        fn no_public_address_is_reserved(address in any::<u128>(), shift in 0..128_u32) {
            // Shifted, so that addresses with many leading zeros come up: the forms that carry IPv4.
            for address in [Ipv6Addr::from(address), Ipv6Addr::from(address >> shift)] {
                let reserved = reserved::reserved(address.into());
                prop_assert!(!(is_public(address.into()) && reserved.is_some()), "{address}: {reserved:?}");
            }
        }

        #[test]
        fn no_disguise_makes_a_reserved_address_public(address in any::<u32>(), rest in any::<u128>()) {
            let inner = Ipv4Addr::from(address);
            let reserved = reserved::reserved(inner.into());
            prop_assert_eq!(is_public(inner.into()), reserved.is_none(), "{}: {:?}", inner, reserved);
            for disguise in reserved::disguises(inner, rest) {
                prop_assert!(reserved.is_none() || !is_public(disguise.into()), "{disguise} is {inner}: {reserved:?}");
            }
        }

        #[test]
        fn every_reserved_range_is_refused_from_its_first_to_its_last(range in 0..reserved::RANGES.len(), at in any::<u128>()) {
            let (first, last) = reserved::bounds(reserved::RANGES[range]);
            for address in [first, last, reserved::within(reserved::RANGES[range], at)] {
                prop_assert!(!is_public(address), "{address} of {}", reserved::RANGES[range]);
            }
        }
    }
}
