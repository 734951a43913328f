use std::{
    alloc::{GlobalAlloc, Layout},
    sync::Arc,
};

use super::{ALIGN, Arena, ArenaError, Pages};

const MIB: usize = 1 << 20;

#[test]
fn boxes_are_aligned_and_apart() {
    let arena = Arena::new(1).expect("an arena");
    assert_eq!(arena.capacity(), 2 * MIB);
    let boxes: Vec<_> = (0..100u8).map(|n| arena.boxed([n; 100]).expect("room")).collect();
    for (n, boxed) in boxes.iter().enumerate() {
        assert_eq!((&raw const **boxed).addr() % ALIGN, 0);
        assert!(boxed.iter().all(|byte| usize::from(*byte) == n));
    }
    assert_eq!(arena.used(), 100 * 128);
    drop(boxes);
    assert_eq!(arena.used(), 0);
}

#[test]
fn a_freed_block_is_zeroed_and_used_again() {
    let arena = Arena::transparent(1).expect("an arena");
    assert_eq!(arena.pages(), Pages::Transparent);
    let layout = Layout::new::<[u8; 48]>();
    let secret = arena.boxed([0xa5u8; 48]).expect("room");
    let at = (&raw const *secret).addr();
    drop(secret);
    // SAFETY: the layout has a size.
    let again = unsafe { arena.alloc(layout) };
    assert_eq!(again.addr(), at);
    // SAFETY: the block has 64 bytes, zeroed by the kernel at first and by the arena since.
    let content = unsafe { std::slice::from_raw_parts(again, 64) };
    assert_eq!(content, [0; 64]);
    // SAFETY: it was allocated with this layout.
    unsafe { arena.dealloc(again, layout) };
}

#[test]
fn a_full_arena_says_so() {
    const BLOCK: usize = 64 << 10;
    let arena = Arena::transparent(2 * MIB).expect("an arena");
    let mut boxes: Vec<_> = (0..2 * MIB / BLOCK).map(|_| arena.boxed([0u8; BLOCK]).expect("room")).collect();
    let full = ArenaError::Full { used: 2 * MIB, capacity: 2 * MIB, wanted: BLOCK };
    assert_eq!(arena.boxed([0u8; BLOCK]).expect_err("no room"), full);
    boxes.pop();
    assert_eq!(arena.used(), 2 * MIB - BLOCK);
    boxes.push(arena.boxed([1u8; BLOCK]).expect("room"));
}

#[test]
fn an_alignment_beyond_a_cache_line_is_refused() {
    #[repr(align(128))]
    struct Wide(#[expect(dead_code, reason = "only its layout matters")] u8);
    let arena = Arena::transparent(1).expect("an arena");
    assert_eq!(arena.boxed(Wide(0)).expect_err("refused"), ArenaError::Alignment(128));
}

#[test]
fn values_are_dropped_and_keep_the_memory_alive() {
    let counted = Arc::new(());
    let boxed = {
        let arena = Arena::transparent(1).expect("an arena");
        arena.boxed(Arc::clone(&counted)).expect("room")
    };
    assert_eq!(Arc::strong_count(&boxed), 2);
    drop(boxed);
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[test]
fn threads_share_an_arena() {
    let arena = Arena::transparent(1).expect("an arena");
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let arena = arena.clone();
            scope.spawn(move || {
                for n in 0..500 {
                    let boxed = arena.boxed([thread, n]).expect("room");
                    assert_eq!(*boxed, [thread, n]);
                }
            });
        }
    });
    assert_eq!(arena.used(), 0);
}

#[test]
fn debug_shows_sizes_only() {
    let arena = Arena::transparent(1).expect("an arena");
    let secret = arena.boxed(*b"secret").expect("room");
    assert_eq!(format!("{secret:?}"), "ArenaBox { bytes: 6, .. }");
}
