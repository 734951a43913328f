use std::time::Duration;

use super::*;
use crate::message::{SaTotals, Spi};

fn spec() -> CountersSpec {
    CountersSpec {
        workers: 3,
        interfaces: 4,
        sa_slots: 16,
        reasons: vec![Text::new("no_route", "Add a route."), Text::new("no_sa", "x".repeat(400))],
        figures: vec![Text::new("neighbours", "Entries.")],
        worker_figures: vec![Text::new("bursts", "Polls with packets.")],
    }
}

#[test]
fn a_reader_sees_what_the_writers_count() {
    let writer = CountersWriter::create(&spec()).unwrap();
    let reader = CountersReader::map(&writer.fd().unwrap()).unwrap();
    assert_eq!(reader.reasons()[0], spec().reasons[0]);
    assert_eq!(reader.reasons()[1].help.len(), 336, "long texts are cut");
    assert_eq!((reader.workers(), reader.interface_slots(), reader.sa_slots()), (3, 4, 16));

    let lines: Vec<_> = (0..3).map(|worker| writer.interface(worker, 2)).collect();
    for line in &lines {
        line.add_rx(10, 1000);
        line.add_tx(9, 900);
        line.add_drops(1, 1);
    }
    let totals = reader.interface_totals(2);
    assert_eq!(
        (totals.rx_packets, totals.rx_bytes, totals.tx_packets, totals.tx_bytes),
        (30, 3000, 27, 2700)
    );
    assert_eq!(totals.drops, [0, 3]);
    assert_eq!(reader.interface_by_worker(1, 2).drops, [0, 1]);
    assert_eq!(reader.interface_totals(1), InterfaceTotals { drops: vec![0, 0], ..Default::default() });

    writer.set_figure(0, 41);
    writer.add_figure(0, 1);
    writer.worker(1).add(0, 5);
    assert_eq!((reader.figure(0), reader.worker_figure(1, 0), reader.worker_figure(0, 0)), (42, 5, 0));
}

#[test]
fn interfaces_and_sas_come_and_go() {
    let writer = CountersWriter::create(&spec()).unwrap();
    let reader = CountersReader::map(&writer.fd().unwrap()).unwrap();
    let what = InterfaceDescription {
        id: InterfaceId(0xfffe),
        port: PortId(1),
        vlan: VlanId::new(100),
        vrf: VrfId(7),
        name: Label::new("wan0.100"),
    };
    writer.describe_interface(3, Some(&what));
    assert_eq!(reader.interface(3), Some(what));
    writer.describe_interface(3, None);
    assert_eq!(reader.interface(3), None);

    let spi = Spi::new(0xdead_0005).unwrap();
    let totals = SaTotals { in_packets: 4, idle_ms: u64::MAX, ..SaTotals::default() };
    writer.set_sa(5, Some((spi, &totals, Duration::ZERO)));
    assert_eq!(reader.sas().collect::<Vec<_>>(), [(spi, totals)]);
    assert_eq!(reader.heard(5, spi), None, "nothing yet");
    writer.set_sa(5, Some((spi, &totals, Duration::from_millis(1_234))));
    assert_eq!(reader.heard(5, spi), Some(Duration::from_millis(1_234)));
    assert_eq!(reader.heard(5, Spi::new(0xbeef_0005).unwrap()), None, "another SA of the slot");
    writer.set_sa(5, None);
    assert_eq!(reader.sas().count(), 0);
}

#[test]
fn nobody_else_maps_the_page_for_writing() {
    let writer = CountersWriter::create(&spec()).unwrap();
    let fd = writer.fd().unwrap();
    let len = usize::try_from(crate::memory::sealed_len(&fd).unwrap()).unwrap();
    assert!(matches!(crate::memory::Mapping::writable(&fd, len), Err(MemoryError::Map(_))));
    assert!(rustix::io::write(&fd, &[1]).is_err());
    assert!(rustix::fs::ftruncate(&fd, 0).is_err());
}

#[test]
fn hostile_pages_are_refused() {
    use crate::memory::{Mapping, Sealing, create};
    use std::sync::atomic::Ordering;

    let page = |words: &[(usize, u64)]| {
        let fd = create("hostile", 1 << 16, Sealing::Final).unwrap();
        let memory = Mapping::writable(&fd, 1 << 16).unwrap();
        for (offset, value) in words {
            memory.store(*offset, *value, Ordering::Relaxed);
        }
        CountersReader::map(&fd)
    };
    let magic = (layout::HEADER_MAGIC, layout::MAGIC);
    let format = (layout::HEADER_FORMAT, layout::FORMAT);
    assert!(matches!(page(&[]), Err(CountersError::Magic(0))));
    assert!(matches!(page(&[magic, (8, 9)]), Err(CountersError::Format { found: 9, .. })));
    assert!(matches!(page(&[magic, format]), Err(CountersError::Dimensions)));
    for index in 0..6 {
        for value in [1 << 21, u64::MAX, 1 << 40] {
            let dimension = (layout::HEADER_DIMENSIONS + index * 8, value);
            assert!(matches!(page(&[magic, format, dimension]), Err(CountersError::Dimensions)));
        }
    }

    let unsealed = rustix::fs::memfd_create("unsealed", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    assert!(CountersReader::map(&unsealed).is_err());
}
