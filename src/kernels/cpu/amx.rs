//! The tiles of x86-64 processors (AMX). Rust has no stable intrinsics for them, so the instructions are written out.
#![allow(unsafe_code, reason = "instructions of tiles that were looked for at run time")]

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

use super::tiles::{COLUMNS, ROW_BYTES, ROWS, TileBlock, TileProduct, Tiles};

/// AMX with products of 8-bit integers and of bf16, permitted by the system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amx(());

impl Amx {
    /// Looks for it, and asks Linux for permission: once a process, for all of its threads.
    pub(super) fn detect() -> Option<Self> {
        static THERE: OnceLock<bool> = OnceLock::new();
        THERE.get_or_init(|| has_instructions() && system_keeps_tiles() && is_permitted()).then_some(Self(()))
    }
}

/// Whether the processor has tiles and both kinds of products.
fn has_instructions() -> bool {
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    const ALL: u32 = BF16 | TILE | INT8;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & ALL == ALL
}

/// Whether the system saves tiles when threads change: bits 17 and 18 of XCR0.
fn system_keeps_tiles() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const TILES: u32 = 0b11 << 17;
    if __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let low: u32;
    // SAFETY: XGETBV exists where OSXSAVE is set; it reads a register.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    low & TILES == TILES
}

/// Requests the permission to use tiles, which Linux wants before their first use.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_int = 18;
    // SAFETY: the call changes what this process may do, and no memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// The operand of LDTILECFG.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    first_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// Sums in tiles 0 to 3 and inputs in 4 and 5 of `rows` rows, weights in 6 and 7.
    fn new(rows: u8) -> Self {
        const BYTES: u16 = ROW_BYTES as u16;
        const ALL: u8 = ROWS as u8;
        let mut shapes =
            Self { palette: 1, first_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        shapes.row_bytes[..8].fill(BYTES);
        shapes.rows[..8].copy_from_slice(&[rows, rows, rows, rows, rows, rows, ALL, ALL]);
        shapes
    }
}

/// Bytes from a row of sums, or a step of a panel of weights, to the next.
const PANEL_BYTES: usize = 4 * COLUMNS;

/// The sums of both places. `$multiply` is the instruction.
macro_rules! two_places {
    ($multiply:literal, $block:expr) => {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm6, [{weights} + {panel}]",
            "tileloadd tmm4, [{first} + {stride}]",
            concat!($multiply, " tmm0, tmm4, tmm6"),
            "tileloadd tmm7, [{weights} + {panel} + 64]",
            concat!($multiply, " tmm1, tmm4, tmm7"),
            "tileloadd tmm5, [{second} + {stride}]",
            concat!($multiply, " tmm2, tmm5, tmm6"),
            concat!($multiply, " tmm3, tmm5, tmm7"),
            "mov {line}, {lines}",
            "3:",
            "prefetcht1 [{next}]",
            "add {next}, 64",
            "dec {line}",
            "jnz 3b",
            "add {first}, 64",
            "add {second}, 64",
            "add {weights}, 2048",
            "dec {groups}",
            "jnz 2b",
            "tilestored [{sums} + {panel}], tmm0",
            "tilestored [{sums} + {panel} + 64], tmm1",
            "tilestored [{sums} + {panel} + 2048], tmm2",
            "tilestored [{sums} + {panel} + 2112], tmm3",
            first = inout(reg) $block.inputs[0] => _,
            second = inout(reg) $block.inputs[1] => _,
            stride = in(reg) $block.stride,
            weights = inout(reg) $block.weights => _,
            panel = in(reg) PANEL_BYTES,
            groups = inout(reg) $block.groups => _,
            next = inout(reg) $block.next.0 => _,
            lines = in(reg) $block.next.1,
            line = out(reg) _,
            sums = in(reg) $block.sums,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// The sums of the first place.
macro_rules! one_place {
    ($multiply:literal, $block:expr) => {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloadd tmm6, [{weights} + {panel}]",
            "tileloadd tmm4, [{first} + {stride}]",
            concat!($multiply, " tmm0, tmm4, tmm6"),
            "tileloadd tmm7, [{weights} + {panel} + 64]",
            concat!($multiply, " tmm1, tmm4, tmm7"),
            "mov {line}, {lines}",
            "3:",
            "prefetcht1 [{next}]",
            "add {next}, 64",
            "dec {line}",
            "jnz 3b",
            "add {first}, 64",
            "add {weights}, 2048",
            "dec {groups}",
            "jnz 2b",
            "tilestored [{sums} + {panel}], tmm0",
            "tilestored [{sums} + {panel} + 64], tmm1",
            first = inout(reg) $block.inputs[0] => _,
            stride = in(reg) $block.stride,
            weights = inout(reg) $block.weights => _,
            panel = in(reg) PANEL_BYTES,
            groups = inout(reg) $block.groups => _,
            next = inout(reg) $block.next.0 => _,
            lines = in(reg) $block.next.1,
            line = out(reg) _,
            sums = in(reg) $block.sums,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

impl Tiles for Amx {
    const NAME: &'static str = "AMX";

    fn configure(self, rows: usize) {
        let shapes = Shapes::new(rows.min(ROWS) as u8);
        // SAFETY: `self` proves that there are tiles; the operand is a valid configuration, which is only read.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, preserves_flags, readonly));
        }
    }

    fn release(self) {
        // SAFETY: `self` proves that there are tiles.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
    }

    unsafe fn multiply(self, product: TileProduct, block: &TileBlock) {
        // SAFETY: `self` proves that there are tiles; the caller promises what the block names, and a configuration.
        // `groups` and the lines to prefetch are at least 1.
        unsafe {
            match product {
                _ if block.groups == 0 || block.next.1 == 0 => {}
                TileProduct::Unsigned if block.inputs[1].is_null() => one_place!("tdpbusd", block),
                TileProduct::Unsigned => two_places!("tdpbusd", block),
                TileProduct::SignedHalves => two_places!("tdpbssd", block),
                TileProduct::Bf16Halves => two_places!("tdpbf16ps", block),
            }
        }
    }
}
