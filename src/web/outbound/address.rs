//! Which addresses are special-use and therefore never dialled (RFC 6890, and the IANA IPv4 and
//! IPv6 Special-Purpose Address Registries it founded).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(a: u16, b: u16, c: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

const SPECIAL_V4: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),        // this network, RFC 791
    v4(10, 0, 0, 0, 8),       // private, RFC 1918
    v4(100, 64, 0, 0, 10),    // shared by carriers, RFC 6598
    v4(127, 0, 0, 0, 8),      // loopback, RFC 1122
    v4(168, 63, 129, 16, 32), // the host agent inside Azure; public by number, never by route
    v4(169, 254, 0, 0, 16),   // link local and cloud metadata, RFC 3927
    v4(172, 16, 0, 0, 12),    // private, RFC 1918
    v4(192, 0, 0, 0, 24),     // protocol assignments, RFC 6890
    v4(192, 0, 2, 0, 24),     // documentation, RFC 5737
    v4(192, 31, 196, 0, 24),  // AS112, RFC 7535
    v4(192, 52, 193, 0, 24),  // AMT, RFC 7450
    v4(192, 88, 99, 0, 24),   // 6to4 relays, RFC 7526
    v4(192, 168, 0, 0, 16),   // private, RFC 1918
    v4(192, 175, 48, 0, 24),  // AS112, RFC 7534
    v4(198, 18, 0, 0, 15),    // benchmarks, RFC 2544
    v4(198, 51, 100, 0, 24),  // documentation, RFC 5737
    v4(203, 0, 113, 0, 24),   // documentation, RFC 5737
    v4(224, 0, 0, 0, 4),      // multicast, RFC 5771
    v4(240, 0, 0, 0, 4),      // reserved, and the limited broadcast, RFC 1112
];

/// All unicast that is routed today lies in here (RFC 4291 §2.4). What lies outside is special or
/// unassigned: loopback, mapped, unique local, link and site local, multicast, discard, segment routing.
const GLOBAL_UNICAST_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

const SPECIAL_INSIDE_GLOBAL_V6: &[Ipv6Net] = &[
    v6(0x2001, 0, 0, 23),           // protocol assignments, Teredo and ORCHID, RFC 2928
    v6(0x2001, 0x0db8, 0, 32),      // documentation, RFC 3849
    v6(0x2002, 0, 0, 16),           // 6to4, which hides an IPv4 address, RFC 3056
    v6(0x2620, 0x004f, 0x8000, 48), // AS112, RFC 7534
    v6(0x3fff, 0, 0, 20),           // documentation, RFC 9637
];

/// The well-known prefix of NAT64: its last 32 bits are the IPv4 address really meant (RFC 6052).
const NAT64: Ipv6Net = v6(0x0064, 0xff9b, 0, 96);

/// Whether an address belongs to anything else than the public internet.
pub(super) fn is_special_use(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> bool {
    SPECIAL_V4.iter().any(|net| net.contains(&address))
}

fn special_v6(address: Ipv6Addr) -> bool {
    // A mapped address is dialled over IPv4, so it is judged as one.
    if let Some(inside) = address.to_ipv4_mapped() {
        return special_v4(inside);
    }
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return special_v4(Ipv4Addr::new(a, b, c, d));
    }
    !GLOBAL_UNICAST_V6.contains(&address) || SPECIAL_INSIDE_GLOBAL_V6.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_and_last_address_of_each_special_use_block_is_special() {
        for block in [
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "255.255.255.255/32",
            "168.63.129.16/32",
            "100.100.100.200/32",
            "::/128",
            "::1/128",
            "::/96",
            "::ffff:10.0.0.0/104",
            "::ffff:127.0.0.0/104",
            "64:ff9b::127.0.0.0/104",
            "64:ff9b::192.168.0.0/112",
            "64:ff9b:1::/48",
            "100::/64",
            "100:0:0:1::/64",
            "2001::/23",
            "2001::/32",
            "2001:db8::/32",
            "2002::/16",
            "2620:4f:8000::/48",
            "3fff::/20",
            "5f00::/16",
            "4000::/3",
            "fc00::/7",
            "fd00:ec2::254/128",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
        ] {
            let block: IpNet = block.parse().unwrap();
            assert!(is_special_use(block.network()), "{block}");
            assert!(is_special_use(block.broadcast()), "{block}");
        }
    }

    #[test]
    fn the_neighbours_of_special_use_blocks_are_public() {
        for address in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700:4700::1111",
            "2620:4f:7fff::1",
            "2a00:1450:4001::1",
            "3ffe:ffff::1",
        ] {
            assert!(!is_special_use(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn an_address_inside_an_ipv6_address_is_judged_as_itself(bits: u32) {
            let inside = Ipv4Addr::from_bits(bits);
            let special = is_special_use(inside.into());
            prop_assert_eq!(is_special_use(inside.to_ipv6_mapped().into()), special);
            let nat64 = u128::from(bits) | (0x0064_ff9b_u128 << 96);
            prop_assert_eq!(is_special_use(Ipv6Addr::from_bits(nat64).into()), special);
        }

        #[test]
        fn no_address_counts_as_public_that_the_standard_library_knows_as_local(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let local = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.is_unspecified() || address.is_broadcast();
            prop_assert!(!local || is_special_use(address.into()));
        }
    }
}
