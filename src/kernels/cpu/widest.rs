//! The choice of registers.

use super::simd::{Kernel, Plain, Portable, Simd};

/// A constructor that is generic over the register type.
pub(super) trait Make {
    /// What is made.
    type Made;

    /// Makes it.
    fn make<S: Simd>(self, s: S) -> Self::Made;
}

/// Makes it for the widest registers that this processor has.
pub(super) fn for_widest<M: Make>(make: M) -> M::Made {
    #[cfg(target_arch = "x86_64")]
    {
        use super::avx2::Avx2;
        use super::avx512::Avx512;
        if let Some(s) = Avx512::detect() {
            return make.make(s);
        }
        if let Some(s) = Avx2::detect() {
            return make.make(s);
        }
    }
    for_any(make)
}

/// Makes it for registers that every machine has.
pub(super) fn for_any<M: Make>(make: M) -> M::Made {
    make.make::<Plain>(Portable)
}

/// Runs a computation in the widest registers that this processor has.
pub(super) fn run_widest<K: Kernel>(kernel: K) -> K::Output {
    for_widest(Run(kernel))
}

/// The same in registers that every machine has.
#[cfg(test)]
pub(super) fn run_for_any<K: Kernel>(kernel: K) -> K::Output {
    for_any(Run(kernel))
}

struct Run<K>(K);

impl<K: Kernel> Make for Run<K> {
    type Made = K::Output;

    fn make<S: Simd>(self, s: S) -> K::Output {
        s.run(self.0)
    }
}
