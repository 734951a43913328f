//! Packets through a ring port, byte for byte, by owned buffers, on a worker lcore; nothing leaks.

mod common;

use arrayvec::ArrayVec;
use dpdk::{Mbuf, Mempool, Port, PortConfig, PortError, RingPortConfig};

type Burst = ArrayVec<Mbuf, 32>;

fn frame(number: u8) -> Vec<u8> {
    (0..64 + usize::from(number)).map(|i| u8::try_from(i % 251).expect("below 251") ^ number).collect()
}

fn frames(pool: &Mempool, numbers: std::ops::Range<u8>) -> Burst {
    numbers
        .map(|number| {
            let mut mbuf = pool.alloc().expect("a free buffer");
            mbuf.extend_from_slice(&frame(number)).expect("room");
            mbuf
        })
        .collect()
}

#[test]
fn in_and_out_byte_exact() {
    let (eal, pool) = common::start();
    let config = RingPortConfig { queues: 2, depth: 64 };
    let (mut port, mut peers) = Port::ring(&eal, "inside", config).expect("a port of rings");
    let again = Port::ring(&eal, "inside", config).expect_err("the name is taken");
    assert!(again.to_string().contains("inside"), "{again}");

    let two = PortConfig { rx_queues: 2, tx_queues: 2, ..PortConfig::default() };
    port.configure(&two, &pool).expect("configured");
    let mut queues = port.start().expect("started");
    assert!(port.link().expect("link").up);
    assert!(matches!(port.stop(), Err(PortError::InUse { .. })), "queues exist");

    // A worker swaps the first byte of all it receives, on both queues, and sends it back.
    let mut sent: Burst = frames(&pool, 0..10);
    assert_eq!(peers[0].inject(&mut sent), 10);
    let mut other = frames(&pool, 10..13);
    assert_eq!(peers[1].inject(&mut other), 3);
    assert_eq!(pool.in_use(), 13);
    let lcore = eal.take_workers().pop().expect("one worker");
    assert!(eal.take_workers().is_empty(), "each worker is given once");
    let (lcore, queues) = {
        let (lcore, result) = lcore
            .spawn(move || {
                assert!(dpdk::current_lcore().is_some());
                let mut burst = Burst::new();
                for (rx, tx) in queues.rx.iter_mut().zip(&mut queues.tx) {
                    while rx.rx(&mut burst) == 0 {}
                    burst.iter_mut().for_each(|mbuf| mbuf.data_mut()[0] ^= 0xff);
                    assert_eq!(tx.tx(&mut burst), if rx.id() == 0 { 10 } else { 3 });
                    assert!(burst.is_empty());
                }
                queues
            })
            .join();
        (lcore, result.expect("no panic"))
    };
    let mut back = Burst::new();
    assert_eq!(peers[0].collect(&mut back), 10);
    assert_eq!(peers[1].collect(&mut back), 3);
    for (number, mbuf) in (0..).zip(&back) {
        let mut expected = frame(number);
        expected[0] ^= 0xff;
        assert_eq!(mbuf.data(), expected, "frame {number}");
        assert!(mbuf.is_contiguous());
    }
    Mbuf::free_bulk(&mut back);
    assert_eq!(pool.in_use(), 0, "a leak");

    // A panic on the lcore is a value here, and the lcore is usable again.
    let (lcore, panicked) = lcore.spawn(|| -> u8 { std::panic::resume_unwind(Box::new("by intent")) }).join();
    assert_eq!(*panicked.expect_err("it panicked").downcast::<&str>().expect("its payload"), "by intent");
    let handle = lcore.spawn(|| 7);
    while !handle.is_finished() {
        std::thread::yield_now();
    }
    assert_eq!(handle.join().1.expect("no panic"), 7);

    refused_packets_stay(&pool, &mut peers, queues);
    port.stop().expect("no queue is left");
    let queues = port.start().expect("started again");
    let stats = port.stats().expect("stats");
    assert!(stats.rx_packets >= 13 && stats.tx_packets >= 13, "{stats:?}");

    // Dropping everything closes the port and frees what waits in its rings.
    let mut left = frames(&pool, 0..5);
    peers[0].inject(&mut left);
    drop(port);
    drop(queues);
    assert_eq!(pool.in_use(), 5, "the peer still has the rings");
    drop(peers);
    assert_eq!(pool.in_use(), 0);
    Port::ring(&eal, "inside", config).expect("the name is free again");
}

/// A full ring takes what fits; the rest stays with its owner, in order.
fn refused_packets_stay(pool: &Mempool, peers: &mut [dpdk::RingPeer], mut queues: dpdk::Queues) {
    let mut accepted = 0;
    loop {
        let mut burst = frames(pool, 0..20);
        let took = queues.tx[0].tx(&mut burst);
        accepted += took;
        assert_eq!(burst.len(), 20 - took);
        if took < 20 {
            let next = u8::try_from(took).expect("below 20");
            assert_eq!(burst[0].data(), frame(next), "the first that was refused is at the front");
            break;
        }
    }
    assert_eq!(accepted, 63, "a ring of 64 holds 63");
    let mut back = Burst::new();
    while peers[0].collect(&mut back) > 0 {
        Mbuf::free_bulk(&mut back);
    }
    assert_eq!(pool.in_use(), 0);
}
