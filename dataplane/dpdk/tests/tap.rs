//! A `net_tap` port in a network namespace of its own: packets to and from the kernel, waiting for them by
//! interrupt, and being woken.

mod common;

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use arrayvec::ArrayVec;
use dpdk::{Mbuf, Port, PortConfig, RxQueue, RxWaiter};

/// Set in the process that runs within the namespace.
const INSIDE: &str = "DPDK_TEST_INSIDE";
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

#[test]
fn waits_for_the_kernels_packets() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let me = std::env::current_exe().expect("the test's own binary");
    let output = Command::new("unshare")
        .args(["--net", "--"])
        .arg(me)
        .arg("--nocapture")
        .env(INSIDE, "1")
        .output()
        .expect("unshare (util-linux)");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().expect("ip (iproute2)");
    assert!(status.success(), "ip {words}");
}

fn inside() {
    let (eal, pool) = common::start();
    let mut port = Port::open(&eal, &"net_tap0,iface=esptest0".parse().expect("vdev")).expect("net_tap");
    let unequal = PortConfig { rx_queues: 2, ..PortConfig::default() };
    let error = port.configure(&unequal, &pool).expect_err("unequal queue counts");
    assert!(error.to_string().contains("net_tap0"), "{error}");
    port.configure(&PortConfig { rx_interrupts: true, mtu: 1400, ..PortConfig::default() }, &pool)
        .expect("configured");
    assert_eq!(port.mtu().expect("MTU"), 1400);
    let mut queues = port.start().expect("started");
    let mtu = std::fs::read_to_string("/sys/class/net/esptest0/mtu");
    println!("kernel's MTU {mtu:?}, link {:?}", port.link());

    let mut waiter = RxWaiter::new().expect("a waiter");
    waiter.add(&mut queues.rx[0]).expect("net_tap has RX interrupts");
    wakes(&mut waiter);

    // The kernel asks who 198.18.77.2 is: a broadcast that ends the wait.
    ip("addr add 198.18.77.1/30 dev esptest0");
    let socket = UdpSocket::bind("198.18.77.1:0").expect("the address is ours");
    socket.send_to(b"hello", "198.18.77.2:9").expect("sent");
    let request = receive(&mut waiter, &mut queues.rx[0], 0x0806);
    assert_eq!(request.data()[38..42], [198, 18, 77, 2], "{:?}", request.data());

    // Answer, and the datagram itself comes.
    let mut reply = ArrayVec::<Mbuf, 32>::new();
    reply.push(arp_reply(request));
    assert_eq!(queues.tx[0].tx(&mut reply), 1);
    let datagram = receive(&mut waiter, &mut queues.rx[0], 0x0800);
    assert!(datagram.data().ends_with(b"hello"), "{:?}", datagram.data());

    drop((queues, datagram));
    assert!(port.stop().is_err(), "the waiter still refers to the port");
    drop(waiter);
    port.stop().expect("stopped");
    drop(port);
    assert_eq!(pool.in_use(), 0, "a leak");
    assert!(!std::path::Path::new("/sys/class/net/esptest0").exists(), "the interface is gone");
}

fn wakes(waiter: &mut RxWaiter) {
    while waiter.wait(Some(Duration::from_millis(50))).expect("no error") {}
    let waker = waiter.waker();
    waker.wake();
    assert!(waiter.wait(PATIENCE).expect("woken"), "a ring before the wait is not lost");
    assert!(!waiter.wait(Some(Duration::ZERO)).expect("quiet"), "one ring ends one wait");
    let ringer = std::thread::spawn(move || waker.wake());
    assert!(waiter.wait(PATIENCE).expect("woken by another thread"));
    ringer.join().expect("no panic");
}

/// The next packet of `ethertype`.
fn receive(waiter: &mut RxWaiter, queue: &mut RxQueue, ethertype: u16) -> Mbuf {
    let mut burst = ArrayVec::<Mbuf, 32>::new();
    loop {
        waiter.arm();
        if queue.rx(&mut burst) == 0 {
            assert!(waiter.wait(PATIENCE).expect("no error"), "nothing came");
        }
        if let Some(mbuf) = burst.drain(..).find(|mbuf| mbuf.data()[12..14] == ethertype.to_be_bytes()) {
            return mbuf;
        }
    }
}

/// The request with its sides swapped, from 02:00:00:00:00:02.
fn arp_reply(mut request: Mbuf) -> Mbuf {
    let frame = request.data_mut();
    let (asker, target): ([u8; 10], [u8; 4]) =
        (frame[22..32].try_into().expect("10 bytes"), frame[38..42].try_into().expect("4 bytes"));
    let me = [2, 0, 0, 0, 0, 2];
    frame[..6].copy_from_slice(&asker[..6]);
    frame[6..12].copy_from_slice(&me);
    frame[21] = 2;
    frame[22..28].copy_from_slice(&me);
    frame[28..32].copy_from_slice(&target);
    frame[32..42].copy_from_slice(&asker);
    request
}
