//! The filter of outbound addresses: what it calls public is not reserved, in whatever form it comes.

#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../scheduler/src"]
mod scheduler {
    pub mod address;
    #[path = "address/reserved.rs"]
    pub mod reserved;
}

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use scheduler::address::is_public;
use scheduler::reserved::{disguises, reserved};

fuzz_target!(|bits: [u8; 20]| {
    let (inner, rest) = bits.split_first_chunk::<4>().unwrap();
    let inner = Ipv4Addr::from(*inner);
    let rest = u128::from_be_bytes(rest.try_into().unwrap());
    check(inner.into());
    check(Ipv6Addr::from(rest).into());
    for disguise in disguises(inner, rest) {
        check(disguise.into());
        // A disguise of what is reserved is reserved itself.
        assert!(!is_public(disguise.into()) || is_public(inner.into()), "{disguise} is public, {inner} is not");
    }
});

fn check(address: IpAddr) {
    if is_public(address) {
        assert_eq!(reserved(address), None, "{address} is called public");
    }
}
