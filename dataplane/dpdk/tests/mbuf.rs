//! The edges of a packet buffer.

mod common;

use arrayvec::ArrayVec;
use dpdk::{HEADROOM, Mbuf, Mempool, NoRoom, PoolEmpty};

#[test]
fn edges_of_a_buffer() {
    let (_eal, pool) = common::start();
    both_ends(&pool);
    spans(&pool);
    chains(&pool);
    marks(&pool);
    exhaustion(&pool);
    assert_eq!(pool.in_use(), 0, "a leak");
}

fn both_ends(pool: &Mempool) {
    let mut mbuf = pool.alloc().expect("a free buffer");
    assert_eq!((mbuf.len(), mbuf.headroom(), mbuf.tailroom()), (0, HEADROOM, 2048));
    assert!(mbuf.is_empty() && mbuf.is_contiguous());
    assert_eq!(mbuf.rss_hash(), None);

    mbuf.extend_from_slice(b"inner").expect("room");
    mbuf.prepend(HEADROOM).expect("exactly the headroom").fill(0xaa);
    assert_eq!(mbuf.prepend(1), Err(NoRoom));
    assert_eq!((mbuf.len(), mbuf.packet_len(), mbuf.headroom()), (HEADROOM + 5, HEADROOM + 5, 0));
    mbuf.append(2043).expect("exactly the tailroom").fill(0xbb);
    assert_eq!(mbuf.append(1), Err(NoRoom));
    assert_eq!(mbuf.append(usize::MAX), Err(NoRoom));
    assert_eq!(mbuf.tailroom(), 0);
    assert_eq!(&mbuf.data()[HEADROOM..HEADROOM + 5], b"inner");

    mbuf.trim(2043).expect("what was appended");
    mbuf.adj(HEADROOM).expect("what was prepended");
    assert_eq!(mbuf.data(), b"inner");
    assert_eq!(mbuf.adj(6), Err(NoRoom));
    assert_eq!(mbuf.trim(6), Err(NoRoom));
    mbuf.adj(5).expect("all of it");
    assert!(mbuf.is_empty());
    assert_eq!(mbuf.packet_len(), 0);
}

fn marks(pool: &Mempool) {
    let mut mbuf = pool.alloc().expect("a free buffer");
    assert_eq!(mbuf.mark(), 0);
    mbuf.set_mark(7);
    mbuf.extend_from_slice(b"inner").expect("room");
    assert_eq!((mbuf.mark(), mbuf.data(), mbuf.rss_hash()), (7, &b"inner"[..], None));
    mbuf.set_mark(0);
}

fn spans(pool: &Mempool) {
    let mut mbuf = pool.alloc().expect("a free buffer");
    mbuf.extend_from_slice(b"payload").expect("room");
    assert_eq!(mbuf.span(), HEADROOM..HEADROOM + 7);
    let size = mbuf.buffer_mut().len();
    assert_eq!(size, HEADROOM + 2048);
    mbuf.buffer_mut()[HEADROOM - 2..HEADROOM].copy_from_slice(b"<<");
    mbuf.set_span(HEADROOM - 2..HEADROOM + 3).expect("within");
    assert_eq!(mbuf.data(), b"<<pay");
    assert_eq!(mbuf.packet_len(), 5);
    assert_eq!(mbuf.set_span(0..size + 1), Err(NoRoom));
    #[expect(clippy::reversed_empty_ranges, reason = "the error under test")]
    let reversed = 9..8;
    assert_eq!(mbuf.set_span(reversed), Err(NoRoom));
    mbuf.set_span(size..size).expect("empty at the end");
    assert!(mbuf.data().is_empty());
}

fn chains(pool: &Mempool) {
    let with = |bytes: &[u8]| {
        let mut mbuf = pool.alloc().expect("a free buffer");
        mbuf.extend_from_slice(bytes).expect("room");
        mbuf
    };
    let mut chain = with(b"first ");
    chain.chain(with(b"second")).expect("two segments");
    assert_eq!((chain.segments(), chain.len(), chain.packet_len()), (2, 6, 12));
    assert_eq!(chain.append(1), Err(NoRoom), "appending to a chain would write into its middle");
    assert_eq!(chain.trim(1), Err(NoRoom));
    assert_eq!(chain.set_span(0..1), Err(NoRoom));
    chain.prepend(2).expect("headroom").copy_from_slice(b"> ");
    assert_eq!(chain.packet_len(), 14);
    chain.adj(2).expect("as long as the first segment");
    chain.linearize().expect("12 bytes fit");
    assert_eq!(chain.data(), b"first second");
    assert!(chain.is_contiguous());
    assert_eq!(pool.in_use(), 1, "the second segment was freed");

    let mut long = with(&[1; 2000]);
    long.chain(with(&[2; 100])).expect("two segments");
    assert_eq!(long.linearize(), Err(NoRoom));
    assert_eq!((long.segments(), long.packet_len()), (2, 2100), "unharmed");
    drop((chain, long));
    assert_eq!(pool.in_use(), 0, "dropping a chain frees its segments");
}

fn exhaustion(pool: &Mempool) {
    let all: Vec<Mbuf> = std::iter::from_fn(|| pool.alloc().ok()).collect();
    assert_eq!(all.len(), 2047);
    let mut burst = ArrayVec::<Mbuf, 8>::new();
    assert_eq!(pool.alloc_bulk(&mut burst, 8), Err(PoolEmpty));
    assert!(burst.is_empty());
    // Another thread may free them: it is no lcore.
    std::thread::spawn(move || drop(all)).join().expect("freed");
    assert_eq!(pool.available(), 2047);
    pool.alloc_bulk(&mut burst, 8).expect("all free again");
    assert_eq!(pool.alloc_bulk(&mut burst, 1), Err(PoolEmpty), "the array is full");
    assert_eq!((burst.len(), pool.in_use()), (8, 8));
}
