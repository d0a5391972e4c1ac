//! Registers of x86-64 processors with AVX-512.
#![allow(unsafe_code, reason = "intrinsics of registers that were looked for at run time")]
// SAFETY of all that follows: a value of `Avx512` exists only where `detect` found the registers, and reads
// and writes stay where the caller of `load`, `store` and `splat` promises.

use std::arch::x86_64::*;

use super::amx::Amx;
use super::simd::{Kernel, Simd};

/// 32 registers of 16 lanes; with `DOT`, products of small integers that add to a sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512<const DOT: bool> {
    dot: bool,
    tiles: Option<Amx>,
}

#[cfg(test)]
impl Avx512<false> {
    /// The same registers without tiles, with VNNI or without.
    pub(super) fn without_tiles(self, dot: bool) -> Self {
        Self { dot: self.dot && dot, tiles: None }
    }
}

impl Avx512<false> {
    pub(super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        there.then(|| Self { dot: is_x86_feature_detected!("avx512vnni"), tiles: Amx::detect() })
    }
}

impl<const DOT: bool> Simd for Avx512<DOT> {
    type Dot = Avx512<true>;
    type Tiles = Amx;
    type Reg = __m512;
    const NAME: &'static str = if DOT { "AVX-512 with VNNI" } else { "AVX-512" };
    const LANES: usize = 16;
    const ROWS: usize = 6;
    const UNPACKED_ROWS: usize = 6;

    fn dot(self) -> Option<Self::Dot> {
        self.dot.then_some(Self::Dot { dot: true, tiles: self.tiles })
    }

    fn tiles(self) -> Option<Amx> {
        self.tiles
    }

    #[inline(always)]
    fn zero(self) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u32, x: __m512) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(to.cast(), x) }
    }

    #[inline(always)]
    unsafe fn splat(self, from: *const u32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_set1_ps(from.cast::<f32>().read()) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn add_integers(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b))) }
    }

    #[inline(always)]
    fn scaled(self, x: __m512, scale: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_castps_si512(x)), scale) }
    }

    #[inline(always)]
    fn multiply(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn low_half(self, x: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(x))) }
    }

    #[inline(always)]
    fn high_half(self, x: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe {
            _mm512_castsi512_ps(_mm512_and_si512(
                _mm512_castps_si512(x),
                _mm512_set1_epi32(0xffff_0000_u32 as i32),
            ))
        }
    }

    #[inline(always)]
    fn even_bytes(self, x: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe {
            let high = _mm512_slli_epi16::<8>(_mm512_castps_si512(x));
            _mm512_castsi512_ps(_mm512_srai_epi16::<8>(high))
        }
    }

    #[inline(always)]
    fn odd_bytes(self, x: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_castsi512_ps(_mm512_srai_epi16::<8>(_mm512_castps_si512(x))) }
    }

    #[inline(always)]
    fn dot_pairs(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe {
            if DOT {
                return _mm512_castsi512_ps(_mm512_dpwssd_epi32(
                    _mm512_castps_si512(sum),
                    _mm512_castps_si512(a),
                    _mm512_castps_si512(b),
                ));
            }
            let dot = _mm512_madd_epi16(_mm512_castps_si512(a), _mm512_castps_si512(b));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(sum), dot))
        }
    }

    #[inline(always)]
    fn dot_quads(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe {
            let (a, b, sum) = (_mm512_castps_si512(a), _mm512_castps_si512(b), _mm512_castps_si512(sum));
            if DOT {
                return _mm512_castsi512_ps(_mm512_dpbusd_epi32(sum, a, b));
            }
            let dot = _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1));
            _mm512_castsi512_ps(_mm512_add_epi32(sum, dot))
        }
    }

    #[inline(always)]
    fn dot_bytes(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        if DOT {
            return self.dot_quads(a, b, sum);
        }
        // SAFETY: as above.
        let [even, odd] = unsafe {
            let a = _mm512_castps_si512(a);
            [_mm512_and_si512(a, _mm512_set1_epi16(255)), _mm512_srli_epi16::<8>(a)]
                .map(|a| _mm512_castsi512_ps(a))
        };
        self.dot_pairs(odd, self.odd_bytes(b), self.dot_pairs(even, self.even_bytes(b), sum))
    }

    #[inline(always)]
    fn dot_quads_twice(self, a: [__m512; 2], b: [__m512; 2], sum: __m512) -> __m512 {
        if DOT {
            return self.dot_quads(a[1], b[1], self.dot_quads(a[0], b[0], sum));
        }
        // SAFETY: as above.
        unsafe {
            let pairs = |i: usize| _mm512_maddubs_epi16(_mm512_castps_si512(a[i]), _mm512_castps_si512(b[i]));
            let dot = _mm512_madd_epi16(_mm512_add_epi16(pairs(0), pairs(1)), _mm512_set1_epi16(1));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(sum), dot))
        }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u32) {
        // SAFETY: asking for an address that is not there does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn run<W: Kernel>(self, work: W) -> W::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx2,fma")]
        fn plain<S: Simd, W: Kernel>(s: S, work: W) -> W::Output {
            work.run(s)
        }
        #[target_feature(enable = "avx512f,avx512bw,avx2,fma,avx512vnni")]
        fn with_dot<S: Simd, W: Kernel>(s: S, work: W) -> W::Output {
            work.run(s)
        }
        // SAFETY: as above.
        unsafe { if DOT { with_dot(self, work) } else { plain(self, work) } }
    }
}
