//! Numbers for data that is varied and the same in every run.

/// Numbers that look random and are the same each time.
pub struct Numbers(pub u64);

impl Numbers {
    /// One of `limit` numbers from 0 on.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// A text of the list, or, one time in twelve, none.
    pub fn one_of<'a>(&mut self, list: &[&'a str]) -> Option<&'a str> {
        match self.below(12) {
            0 => None,
            _ => Some(list[self.below(list.len())]),
        }
    }
}
