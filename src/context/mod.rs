//! The context network g_ar.
