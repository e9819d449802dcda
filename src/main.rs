//! labseal.
fn main() {}
