//! Settings of the process that need `unsafe`, for both programs. The library has none of them.

/// Gives freed memory back: glibc keeps what a thread has freed in the heap of that thread, tens of MB after a calibration.
pub(crate) fn trim() {
    // SAFETY: it takes a number and touches nothing but memory that is free, under the allocator's own locks.
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "no crate of ours offers this call of the C library")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// candle asks `RAYON_NUM_THREADS` at every matrix product, and reads `/proc/cpuinfo` where it is not set: that
/// alone took half of the time of a hop.
pub(crate) fn set_threads(threads: usize) {
    // SAFETY: commands call this first, before they start a thread; nothing else reads or writes the environment
    // at the same time.
    #[allow(
        unsafe_code,
        reason = "the one way to tell candle, from the one place where no other thread runs"
    )]
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", threads.to_string());
    }
}
