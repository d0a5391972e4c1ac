//! The encoder g_enc.
