//! Slow.
/// p
pub const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);
