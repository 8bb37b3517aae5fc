//! What a search may never do.
