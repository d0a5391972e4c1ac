//! Matrix registers ("tiles") as products see them, and the ones of machines without any.
#![allow(unsafe_code, reason = "tiles read and write memory at unchecked places")]

use std::fmt::Debug;

/// Rows of a tile: rows of inputs or of sums, or steps of depth of weights.
pub(super) const ROWS: usize = 16;

/// Steps of depth that a tile of weights holds, for 16 columns.
pub(super) const STEPS: usize = 16;

/// Bytes of a row of a tile.
pub(super) const ROW_BYTES: usize = 64;

/// Columns of the two tiles of weights that are multiplied together.
pub(super) const COLUMNS: usize = 32;

/// What tiles multiply weights with. Each takes inputs from two places, and makes 16 rows of sums of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TileProduct {
    /// Bytes without a sign times bytes with one; the second place holds further rows.
    Unsigned,
    /// Bytes with a sign times bytes with one; the places hold the low and the high bytes of the same rows.
    SignedHalves,
    /// Numbers of 16 bits; the places hold two numbers whose sum is the input, for the same rows.
    Bf16Halves,
}

/// A product of up to 32 rows with the two tiles of a panel, over a block of depth.
#[derive(Debug, Clone, Copy)]
pub(super) struct TileBlock {
    /// First row at both places; null at the second where that is not read.
    pub(super) inputs: [*const u8; 2],
    /// Bytes from a row to the next.
    pub(super) stride: usize,
    /// [`COLUMNS`] columns of 4 bytes for each step.
    pub(super) weights: *const u8,
    /// Groups of [`STEPS`] steps.
    pub(super) groups: usize,
    /// Where to prefetch from, and how many cache lines in each group, at least 1.
    pub(super) next: (*const u8, usize),
    /// 32 rows of [`COLUMNS`] sums: 16 of the first place, then 16 of the second.
    pub(super) sums: *mut u32,
}

/// A kind of tiles; a value of it proves that this processor has them and that the system permits their use.
pub(super) trait Tiles: Copy + Debug + Send + Sync + 'static {
    /// Its name in logs.
    const NAME: &'static str;

    /// Configures the tiles of this thread for inputs of `rows` rows, at most [`ROWS`].
    fn configure(self, rows: usize);

    /// Sets the tiles of this thread back, so that the system need not save them.
    fn release(self);

    /// Computes the sums of a block.
    ///
    /// # Safety
    /// Tiles are configured on this thread, and what the block names is there: `rows` rows of `64 · groups` bytes of inputs at
    /// each place, `2048 · groups` bytes of weights, and 4096 bytes for sums.
    unsafe fn multiply(self, product: TileProduct, block: &TileBlock);
}

/// No tiles.
#[derive(Debug, Clone, Copy)]
pub(super) enum NoTiles {}

impl Tiles for NoTiles {
    const NAME: &'static str = "no tiles";

    fn configure(self, _: usize) {
        match self {}
    }

    fn release(self) {
        match self {}
    }

    unsafe fn multiply(self, _: TileProduct, _: &TileBlock) {
        match self {}
    }
}
