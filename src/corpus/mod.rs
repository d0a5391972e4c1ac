//! Recordings to train on and to measure with: found, read, split.
//!
//! A folder with a `manifest.csv` (columns `file` and `split`, optionally `set`, `speaker`, `source`) gives its
//! rows of one split; a folder without one gives every audio file in it. Clips of one source are one
//! [`Recording`], so that training and held-out parts never share a source. Evaluations that need labels read
//! [`Clip`]s, one a row of the manifest. [`rare`] makes streams with planted sounds out of them.

mod clips;
mod load;
pub mod rare;
mod recording;
mod sound;
mod split;

pub use clips::{Clip, ClipRow, LONGEST_CLIP_S, read_clips, read_clips_up_to, read_rows};
pub use load::{Corpus, Found, Selection, check_regular};
pub use recording::{Recording, windows_of};
pub use sound::{SoundFile, sound_files};
pub use split::hold_out;
