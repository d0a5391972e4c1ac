//! Recordings to train on and to measure with: found, read, split.
//!
//! A folder with a `manifest.csv` (columns `file` and `split`, optionally `set`, `speaker`, `source`) gives its
//! rows of one split; a folder without one gives every audio file in it. Clips of one source are one
//! [`Recording`], so that training and held-out parts never share a source. Evaluations that need labels read
//! [`Clip`]s, one a row of the manifest. [`rare`] makes streams with planted sounds out of them.

#[cfg(feature = "lab")]
mod clips;
mod folder;
#[cfg(feature = "lab")]
mod load;
#[cfg(feature = "lab")]
pub mod rare;
#[cfg(feature = "lab")]
mod recording;
mod sound;
#[cfg(feature = "lab")]
mod split;

#[cfg(feature = "lab")]
pub use clips::{Clip, ClipRow, LONGEST_CLIP_S, read_clips, read_clips_up_to, read_rows};
pub use folder::{Found, check_regular, sound_files};
#[cfg(feature = "lab")]
pub use load::{Corpus, Selection};
#[cfg(feature = "lab")]
pub use recording::{Recording, windows_of};
pub use sound::SoundFile;
#[cfg(feature = "lab")]
pub use split::hold_out;
