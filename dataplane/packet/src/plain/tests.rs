use super::*;
use proptest::prelude::*;

const ORIGIN: Origin = Origin(7);

type Read = (FlowKey, [u16; 2], [u8; 3], [bool; 2]);

/// What [`Flow`] makes of the packet, where it is plain.
fn by_flow(packet: &[u8], checksum: Option<bool>) -> Option<Read> {
    let flow = Flow::parse_received(packet, checksum).ok()?;
    Some((
        FlowKey::of(&flow, ORIGIN)?,
        [flow.len, flow.header_len],
        [flow.traffic_class, flow.hop_limit, flow.protocol],
        [flow.dont_fragment, flow.dst.is_ipv4()],
    ))
}

fn plainly(packet: &[u8], checksum: Option<bool>) -> Option<Read> {
    let Plain { key, facts } = Plain::read(packet, checksum, ORIGIN)?;
    Some((
        key,
        [facts.len(), facts.header_len()],
        [facts.traffic_class(), facts.hop_limit(), facts.protocol()],
        [facts.dont_fragment(), facts.is_v4()],
    ))
}

/// Packets that are nearly always close to plain ones.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![4 => Just(0x45), 4 => Just(0x60), 1 => Just(0x46), 1 => any::<u8>()];
    let protocol =
        prop_oneof![Just(6), Just(17), Just(1), Just(50), Just(58), Just(0), Just(44), any::<u8>()];
    let flags = prop_oneof![4 => Just(0x40), 4 => Just(0), 1 => any::<u8>()];
    (first, protocol, flags, any::<bool>(), prop::collection::vec(any::<u8>(), 0..90)).prop_map(
        |(first, protocol, flags, sound, mut packet)| {
            let len = u8::try_from(packet.len()).expect("short");
            let mut put = |bytes: &[(usize, u8)]| {
                for &(at, byte) in bytes {
                    if let Some(place) = packet.get_mut(at) {
                        *place = byte;
                    }
                }
            };
            put(&[(0, first)]);
            if first >> 4 == 6 {
                put(&[(4, 0), (5, len.saturating_sub(40)), (6, protocol)]);
            } else {
                put(&[(2, 0), (3, len), (6, flags), (7, 0), (9, protocol), (10, 0), (11, 0)]);
                if let Some(header) = packet.first_chunk_mut::<20>().filter(|_| sound) {
                    let checksum = checksum::checksum(header);
                    header[10..12].copy_from_slice(&checksum.to_be_bytes());
                }
            }
            packet
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn plain_packets_are_read_as_flow_reads_them(packet in packets(), checksum: Option<bool>) {
        prop_assert_eq!(plainly(&packet, checksum), by_flow(&packet, checksum));
    }

    #[test]
    fn the_addresses_are_those_of_the_packet(packet in packets()) {
        if let (Some(facts), Ok(flow)) = (Facts::read(&packet, Some(true)), Flow::parse_received(&packet, Some(true))) {
            prop_assert_eq!(facts.addresses(&packet), Some((flow.src, flow.dst)));
        }
    }

    #[test]
    fn a_header_is_right_as_its_sum_says(mut header: [u8; 20], sound: bool) {
        if sound {
            header[10..12].fill(0);
            let checksum = checksum::checksum(&header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        prop_assert_eq!(checksum::is_right(&header), checksum::fold(checksum::sum(&header)) == 0xffff);
    }
}

#[test]
fn origins_and_families_have_keys_of_their_own() {
    let (vrf, spi) = (VrfId(3), Spi::new(0x1234_5678).expect("an SPI"));
    let origins = [Origin::inside(vrf), Origin::inside(VrfId(4)), Origin::sa(spi)];
    let v4 = origins.map(|origin| FlowKey::v4(1 | 2 << 32, 17, None, origin));
    let v6 = origins.map(|origin| FlowKey::v6([0, 1], [0, 2], 17, None, origin));
    let ports = FlowKey::v4(1 | 2 << 32, 17, Some(0), origins[0]);
    let keys: Vec<_> = v4.into_iter().chain(v6).chain([ports, FlowKey::NONE]).collect();
    for (i, key) in keys.iter().enumerate() {
        assert!(!keys[..i].contains(key), "{key:?}");
    }
}
