//! g_enc, g_ar and W_k as one thing with a file format.
