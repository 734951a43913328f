//! The time-stamp counter: what a worker reads where a clock is too slow.

/// The processor's time-stamp counter. Compare differences only, and only with [`tsc_hz`].
#[must_use]
#[inline]
pub fn tsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has RDTSC; it touches no memory.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: reads the counter that DPDK has on this processor.
    unsafe {
        dpdk_sys::shim_tsc()
    }
}

/// Ticks of [`tsc`] in a second, as EAL measured at start; 0 before [`crate::Eal::init`].
#[must_use]
pub fn tsc_hz() -> u64 {
    // SAFETY: reads a variable that is written once, by EAL's start.
    unsafe { dpdk_sys::rte_get_tsc_hz() }
}
