//! Virtual devices: one that works, and those that do not, each named in its error.

mod common;

use arrayvec::ArrayVec;
use dpdk::{Device, Eal, EalConfig, EalError, Mbuf, Mempool, MempoolConfig, Port, PortConfig, PortError};

fn device(text: &str) -> Device {
    text.parse().expect(text)
}

#[test]
fn devices_come_up_or_are_named() {
    let (eal, pool) = common::start();
    assert!(matches!(Eal::init(&EalConfig::default()), Err(EalError::Twice)));
    not_coming_up(&eal);
    null_receives(&eal, &pool);
    limits(&eal, &pool);
    assert_eq!(pool.in_use(), 0, "a leak");
}

fn not_coming_up(eal: &Eal) {
    for text in [
        "net_nosuchdriver0",
        "net_af_packet0,iface=nosuchif0",
        "net_pcap0,rx_pcap=/nonexistent/file.pcap",
        "net_null0,nosuchargument=1",
        "0000:ff:1f.7",
    ] {
        let error = Port::open(eal, &device(text)).expect_err(text);
        assert!(matches!(error, PortError::Device { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.starts_with(&format!("device {text} did not come up: ")), "{message}");
        assert!(!message.contains('\n'), "one line: {message}");
        println!("{message}");
    }
}

fn null_receives(eal: &Eal, pool: &Mempool) {
    let mut port = Port::open(eal, &device("net_null0,size=100")).expect("net_null");
    let again = Port::open(eal, &device("net_null0,size=100")).expect_err("one owner");
    println!("{again}");
    assert!(port.start().is_err(), "not configured");
    port.configure(&PortConfig { promiscuous: true, ..PortConfig::default() }, pool).expect("configured");
    let mut queues = port.start().expect("started");
    let mut burst = ArrayVec::<Mbuf, 32>::new();
    assert_eq!(queues.rx[0].rx(&mut burst), 32);
    assert!(burst.iter().all(|mbuf| mbuf.len() == 100));
    assert_eq!(queues.rx[0].rx(&mut burst), 0, "no room in the array");
    assert_eq!(queues.tx[0].tx(&mut burst), 32);
    assert!(burst.is_empty());
    assert_eq!(port.stats().expect("stats").rx_packets, 32);
    assert_ne!(port.mac().expect("MAC"), [0; 6]);
    assert_eq!(port.capabilities().expect("capabilities").driver, "net_null");
    drop(queues);
    port.stop().expect("stopped");
    drop(port);
    Port::open(eal, &device("net_null0")).expect("the device can be made again");
}

fn limits(eal: &Eal, pool: &Mempool) {
    let mut port = Port::open(eal, &device("net_null1")).expect("net_null");
    let mut refused = |config: PortConfig, words: &str| {
        let message = port.configure(&config, pool).expect_err(words).to_string();
        assert!(message.contains("net_null1") && message.contains(words), "{message}");
    };
    refused(PortConfig { rx_queues: 2000, ..PortConfig::default() }, "2000 RX queues");
    refused(PortConfig { rx_queues: 0, ..PortConfig::default() }, "at least one");
    refused(PortConfig { mtu: 2040, ..PortConfig::default() }, "needs buffers of 2062 bytes");
    refused(PortConfig { mtu: 60, ..PortConfig::default() }, "68");
    let named = |error: dpdk::MempoolError| error.to_string();
    let huge = MempoolConfig { mbufs: 1 << 22, ..MempoolConfig::default() };
    let message = named(Mempool::new(eal, "huge", &huge).expect_err("more than there is"));
    assert!(message.contains("huge") && message.contains("MiB"), "{message}");
    assert!(Mempool::new(eal, "packets", &MempoolConfig::default()).is_err(), "the name is taken");
}
