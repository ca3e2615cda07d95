//! Tests of adding up.
