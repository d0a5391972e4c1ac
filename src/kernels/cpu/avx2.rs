//! Registers of x86-64 processors with AVX2.
#![allow(unsafe_code, reason = "intrinsics of registers that were looked for at run time")]
// SAFETY of all that follows: a value of `Avx2` exists only where `detect` found the registers, and reads
// and writes stay where the caller of `load`, `store` and `splat` promises.

use std::arch::x86_64::*;

use super::simd::{Kernel, Simd};
use super::tiles::NoTiles;

/// 16 registers of 8 lanes; with `DOT`, products of small integers that add to a sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2<const DOT: bool> {
    dot: bool,
}

#[cfg(test)]
impl Avx2<false> {
    /// The same registers alone.
    pub(super) fn alone(self) -> Self {
        Self { dot: false }
    }
}

impl Avx2<false> {
    pub(super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        there.then(|| Self { dot: is_x86_feature_detected!("avxvnni") })
    }
}

impl<const DOT: bool> Simd for Avx2<DOT> {
    type Dot = Avx2<true>;
    type Tiles = NoTiles;
    type Reg = __m256;
    const NAME: &'static str = if DOT { "AVX2 with VNNI" } else { "AVX2" };
    const LANES: usize = 8;
    const ROWS: usize = 6;
    const UNPACKED_ROWS: usize = 5;

    fn dot(self) -> Option<Self::Dot> {
        self.dot.then_some(Self::Dot { dot: true })
    }

    #[inline(always)]
    fn zero(self) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u32, x: __m256) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(to.cast(), x) }
    }

    #[inline(always)]
    unsafe fn splat(self, from: *const u32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_set1_ps(from.cast::<f32>().read()) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, sum: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn add_integers(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b))) }
    }

    #[inline(always)]
    fn scaled(self, x: __m256, scale: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_castps_si256(x)), scale) }
    }

    #[inline(always)]
    fn multiply(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn low_half(self, x: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(x))) }
    }

    #[inline(always)]
    fn high_half(self, x: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe {
            _mm256_castsi256_ps(_mm256_and_si256(
                _mm256_castps_si256(x),
                _mm256_set1_epi32(0xffff_0000_u32 as i32),
            ))
        }
    }

    #[inline(always)]
    fn even_bytes(self, x: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe {
            let high = _mm256_slli_epi16::<8>(_mm256_castps_si256(x));
            _mm256_castsi256_ps(_mm256_srai_epi16::<8>(high))
        }
    }

    #[inline(always)]
    fn odd_bytes(self, x: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_castsi256_ps(_mm256_srai_epi16::<8>(_mm256_castps_si256(x))) }
    }

    #[inline(always)]
    fn dot_pairs(self, a: __m256, b: __m256, sum: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe {
            if DOT {
                return _mm256_castsi256_ps(_mm256_dpwssd_avx_epi32(
                    _mm256_castps_si256(sum),
                    _mm256_castps_si256(a),
                    _mm256_castps_si256(b),
                ));
            }
            let dot = _mm256_madd_epi16(_mm256_castps_si256(a), _mm256_castps_si256(b));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum), dot))
        }
    }

    #[inline(always)]
    fn dot_quads(self, a: __m256, b: __m256, sum: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe {
            let (a, b, sum) = (_mm256_castps_si256(a), _mm256_castps_si256(b), _mm256_castps_si256(sum));
            if DOT {
                return _mm256_castsi256_ps(_mm256_dpbusd_avx_epi32(sum, a, b));
            }
            let dot = _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1));
            _mm256_castsi256_ps(_mm256_add_epi32(sum, dot))
        }
    }

    #[inline(always)]
    fn dot_bytes(self, a: __m256, b: __m256, sum: __m256) -> __m256 {
        if DOT {
            return self.dot_quads(a, b, sum);
        }
        // SAFETY: as above.
        let [even, odd] = unsafe {
            let a = _mm256_castps_si256(a);
            [_mm256_and_si256(a, _mm256_set1_epi16(255)), _mm256_srli_epi16::<8>(a)]
                .map(|a| _mm256_castsi256_ps(a))
        };
        self.dot_pairs(odd, self.odd_bytes(b), self.dot_pairs(even, self.even_bytes(b), sum))
    }

    #[inline(always)]
    fn dot_quads_twice(self, a: [__m256; 2], b: [__m256; 2], sum: __m256) -> __m256 {
        if DOT {
            return self.dot_quads(a[1], b[1], self.dot_quads(a[0], b[0], sum));
        }
        // SAFETY: as above.
        unsafe {
            let pairs = |i: usize| _mm256_maddubs_epi16(_mm256_castps_si256(a[i]), _mm256_castps_si256(b[i]));
            let dot = _mm256_madd_epi16(_mm256_add_epi16(pairs(0), pairs(1)), _mm256_set1_epi16(1));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum), dot))
        }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u32) {
        // SAFETY: asking for an address that is not there does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn run<W: Kernel>(self, work: W) -> W::Output {
        #[target_feature(enable = "avx2,fma")]
        fn plain<S: Simd, W: Kernel>(s: S, work: W) -> W::Output {
            work.run(s)
        }
        #[target_feature(enable = "avx2,fma,avxvnni")]
        fn with_dot<S: Simd, W: Kernel>(s: S, work: W) -> W::Output {
            work.run(s)
        }
        // SAFETY: as above.
        unsafe { if DOT { with_dot(self, work) } else { plain(self, work) } }
    }
}
