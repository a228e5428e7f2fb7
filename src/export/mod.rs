//! What was seen, for people and programs.
