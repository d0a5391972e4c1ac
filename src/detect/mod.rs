//! From frames to findings: what is normal here is learnt, and what is improbable under it is reported.
//!
//! ```text
//! Frame ─▶ bands ─▶ terms of the site ─▶ −log10 p each ─▶ one score ────▶ p ─▶ gate ─▶ Finding
//!       │    └▶ rows in units of the site ─▶ critic: a vote ──┘            ▲
//!       └▶ surprise S(u) = mean over k of (−PMI_k − m_k)/a_k ──────────────┘ alone where it has never been
//! ```
//!
//! 1. *Calibration* listens to the first `calibrate_seconds` of usable sound and learns what is normal: the terms of
//!    the site, how bands and what contexts do not predict of them vary over 0.1 to 0.5 s ([`BackgroundModel`]), and the tail of each
//!    score ([`Tail`]). Scores of calibration are cross-fitted in five folds. A few events in these minutes do no harm:
//!    seconds that lie far from the rest are no part of the fit.
//! 2. Each term has a surprisal, −log10 p under its own tail. Those of density with the vote of the *critic*
//!    of the model ([`Critic`](crate::critic::Critic)), and those of context, have a mean each; the score is a weighted mean of the
//!    squares of both, in which context counts as much as it predicts here. Its tail is learnt from the same calibration and
//!    tempered by how often sites exceed theirs.
//! 3. The *gate* begins an event where p stays below q = `events_per_hour`/3600 and ends it where p stays above
//!    10·q: one knob, [`DetectConfig::events_per_hour`].
//! 4. The *alarm controller* keeps the budget while it lasts: [`Controller`] moves the threshold with every alarm that no operator
//!    called an anomaly, the tail is fitted anew each hour to the maxima of the last four, [`TokenBucket`] caps what is
//!    told. Severe is p < q/100 by the tail alone; it never pushes the threshold, and is
//!    capped only while the site changes.
//! 5. Where the site has changed (p or that of novelty stays below 0.001 for a minute, or an event is cut for its length), ordinary
//!    alarms rest and normal is learnt anew; up to 3 former calibrations are kept and come back at once when the sound
//!    does.
//! 6. What the operator declares normal ([`Detector::judge`]) is known again by the direction of its pooled z. So is what
//!    was reported three times in a day: it is reported once in [`DetectConfig::repeat_after_s`] from then on and does not
//!    count against the budget. Neither hides what is more than three times as novel, ten thousand times less probable, or
//!    another kind of thing.
//! 7. Each finding says what it was ([`Kind`](crate::event::Kind)): by the terms that decided, by the level against the
//!    floor of calibration, and by the rhythm of the site, whose beats are followed.
//!
//! All this is a function of the frames alone: there are no clocks here, and frames pushed in any grouping give
//! the same findings, bit for bit. Gaps, invalid frames and digital silence end a running event and are followed
//! by `settle_ms` that are not scored. So do inputs that the raw samples give away ([`InputMonitor`]).
//!
//! Limits. A handful of minutes know little about once an hour (a factor of several either way at 5 minutes): the
//! budget holds over hours, and in the first one within the cap. A site learnt anew takes in what goes on meanwhile.
//! A single event longer than `max_event_s` is reported once. Sources: CPC, arXiv 1807.03748 (PMI); Siffer et al., KDD 2017
//! (peaks over threshold);
//! Ledoit and Wolf 2004 (shrinkage).

mod activity;
mod alarm_controller;
mod background_model;
mod band_predictors;
mod budget;
mod calibration;
mod calibration_buffer;
mod change_detector;
mod combined_p_value;
mod config;
mod detector;
mod detector_model;
mod event_latents;
pub(crate) mod exact;
mod feature_rows;
mod first_calibration;
mod frame_scorer;
mod gate;
mod gpd;
mod gram;
mod input;
mod kept;
mod kind;
mod known_normal;
mod lagged_inputs;
mod latent_mean;
mod learnt;
mod linear_predictor;
mod maxima;
mod memory;
mod ongoing_event;
mod pitch;
mod reading;
mod recurring;
mod reference;
mod regime_change;
mod relearning;
mod rhythm;
mod row_layout;
mod saturation;
mod seconds;
mod snapshot;
mod stage;
mod state;
mod surprise;
mod tail;
mod terms;
mod whitening;
mod windows;

pub use background_model::BackgroundModel;
pub use budget::{CALIBRATED_SCALE, Controller, TokenBucket};
pub use calibration::{CALIBRATION_VERSION, Calibration};
pub use config::DetectConfig;
pub use detector::Detector;
pub use detector_model::DetectorModel;
pub use feature_rows::FeatureExtractor;
#[cfg(feature = "lab")]
pub(crate) use gate::{Change, Gate, Rules};
pub use gpd::Gpd;
pub use input::{Input, InputCounts, InputMonitor, InputState};
pub use memory::DetectorMemory;
#[cfg(feature = "lab")]
pub(crate) use ongoing_event::{OngoingEvent, ScoredFrame};
pub use reading::{DetectorCounts, DetectorState, Quality, Reading};
pub use row_layout::{DEPARTURE, HALF, ROW, UNEXPECTED};
pub use state::{STATE_VERSION, StreamState};
pub use surprise::Surprise;
pub use tail::{P_FLOOR, Tail};
pub use terms::{Allowance, Mahalanobis};

#[cfg(test)]
mod robustness_tests;
#[cfg(test)]
mod simulated_streams;
