//! An allocator that counts, so that a bound on memory can be a promise instead of a hope.
//!
//! Counts are kept for each thread: tests run side by side. A program that wants them makes [`Counting`] its global
//! allocator; without it [`peak`] finds nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, with an account of the bytes that each thread holds.
#[derive(Debug)]
pub struct Counting;

fn book(bytes: isize) {
    // Not there any more while a thread ends; what it frees then is of no interest.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(live.get())));
    });
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        book(signed(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        book(-signed(layout.size()));
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The new block may be made before the old one is freed.
        book(signed(size));
        book(-signed(layout.size()));
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Runs `work` and says how many bytes this thread held at most beyond those that it held before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let done = work();
    (done, usize::try_from(PEAK.get() - before).unwrap_or(0))
}
