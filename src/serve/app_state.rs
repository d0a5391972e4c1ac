//! State of the handlers of requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dashboard::DashboardState;
use super::node::{HealthSource, Review};
use super::ui_sender::UiSender;

/// State of the handlers.
#[derive(Clone)]
pub(super) struct AppState {
    pub(super) dashboard: Arc<Mutex<DashboardState>>,
    pub(super) feed: UiSender,
    pub(super) health: HealthSource,
    pub(super) review: Review,
    /// Whether an operator token is set.
    pub(super) operators: bool,
}

impl AppState {
    /// Only the thread `http` locks it, and never across an await.
    pub(super) fn dashboard(&self) -> MutexGuard<'_, DashboardState> {
        self.dashboard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
