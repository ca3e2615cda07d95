//! Tests of the runtime, in process.
