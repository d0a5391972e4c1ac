//! The page, metrics for Prometheus, and health probes.
//!
//! ```text
//! inference, main ─ Feed ─▶ channel ─▶ thread `http`: Hub ─▶ page (live stream), /api/v1, /metrics, probes
//!                 (never waits, (1024)   (keeps an hour of seconds
//!                  counts refusals)       and the last events)
//! ```
//!
//! | path | what | token |
//! | --- | --- | --- |
//! | `/healthz` | 200 while everything moves, 503 and who hangs otherwise | no |
//! | `/readyz` | 200 once the model is warm and the analysis runs, until the stop | no |
//! | `/metrics` | Prometheus text format | yes |
//! | `/`, `/page.css`, `/page.js` and what they name | the page; it holds no data, and asks for the token where one is needed | no |
//! | `/api/v1/overview`, `history?stream=`, `calibration?stream=` | JSON | yes |
//! | `/api/v1/spectrogram?stream=` | the last minute of the spectrum of a stream, as JSON | yes |
//! | `/api/v1/live?stream=` | server-sent events: seconds and events of all streams, the spectrum of one of them | yes |
//! | `/api/v1/events` | the events of the past, the newest first; `stream`, `kind`, `severity` (least), `verdict`, `label`, `since`, `until`, `before` (an id) and `limit` narrow it | yes |
//! | `/api/v1/events/summary`, `export?format=csv` (or `json`) | the same, counted by half hours, streams and kinds; as a file | yes |
//! | `/api/v1/events/ID`, `ID.png` | one event; its picture, where pictures are kept | yes |
//! | `/api/v1/events/ID/similar?limit=` | the events that sound like it, by their embeddings | yes |
//! | `/api/v1/events/ID/clip` | its sound as a WAV file, where `[snapshots] clip` is set; each is logged | of operators |
//! | POST `/api/v1/events/ID/review` | `{"verdict": "normal", "label": "kettle"}`: what an operator says of it | of operators |
//!
//! Nothing else can be changed over HTTP. No sound leaves over it but clips of events, and those only where they are kept
//! and an operator token is set, to who shows that token. There is no server unless `[http] listen` names
//! an address. One that others can reach needs a token; on the own machine without one, names of foreign hosts are
//! refused, so that no website can read through the browser.
//!
//! A wrong token is refused, also where none is needed to read; guesses are delayed and limited, for each address and for all
//! together (`guesses`).
//!
//! The spectrum of a stream is sent only while a page looks at it; of each the last minute is kept for pages that are opened
//! later. A client that does not take what it asked for is
//! dropped: neither the analysis nor other clients wait for it.

#[cfg(feature = "http")]
mod app_state;
#[cfg(feature = "http")]
mod clip_api;
mod config;
#[cfg(feature = "http")]
mod dashboard;
#[cfg(feature = "http")]
mod events_api;
#[cfg(feature = "http")]
mod export;
#[cfg(feature = "http")]
mod guard;
#[cfg(feature = "http")]
mod guesses;
#[cfg(feature = "http")]
mod http_thread;
#[cfg(feature = "http")]
mod labels_api;
#[cfg(feature = "http")]
mod live;
#[cfg(feature = "http")]
mod metrics;
mod node;
#[cfg(feature = "http")]
mod requests_api;
#[cfg(feature = "http")]
mod routes;
mod server;
#[cfg(feature = "http")]
mod spectrogram;
mod spectrogram_column;
mod ui_sender;
#[cfg(feature = "http")]
mod write_timeout;

pub use config::{HttpConfig, Tokens, read_tokens};
pub use node::{HealthSource, NodeInfo, Review};
pub use server::Server;
pub use spectrogram_column::SpectrogramColumn;
pub use ui_sender::{CalibrationView, TailView, UiEvent, UiSender};
