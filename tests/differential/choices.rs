//! Where the generator takes its decisions from: a list of numbers that can be cut and zeroed.
//!
//! A request is a function of its numbers, and zero always means the simplest thing. So a failing
//! request is made smaller by making its numbers smaller, without knowing what they decided.

/// How many decisions one request takes at most; those behind are zero.
pub const LENGTH: usize = 96;

/// Numbers from a seed (SplitMix64: any seed is a good one).
pub struct Dice(u64);

impl Dice {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The decisions of one request.
    pub fn decisions(&mut self) -> Vec<u16> {
        (0..LENGTH).map(|_| (self.roll() >> 48) as u16).collect()
    }
}

/// Decisions being taken.
pub struct Choices<'a>(std::slice::Iter<'a, u16>);

impl<'a> Choices<'a> {
    /// From these numbers, and zeros behind them.
    pub fn new(decisions: &'a [u16]) -> Self {
        Self(decisions.iter())
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % bound
    }

    /// Whether something happens that happens once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// One of several; the first is the simplest.
    pub fn pick<'b, T>(&mut self, from: &'b [T]) -> &'b T {
        &from[self.below(from.len())]
    }

    /// Between `least` and `most` of something.
    pub fn some<T>(
        &mut self,
        least: usize,
        most: usize,
        mut one: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        let count = least + self.below(most - least + 1);
        (0..count).map(|_| one(self)).collect()
    }
}

/// Makes failing decisions smaller while they still fail; gives the smallest found.
pub fn shrink(
    mut failing: Vec<u16>,
    tries: usize,
    mut fails: impl FnMut(&[u16]) -> bool,
) -> Vec<u16> {
    let mut left = tries;
    let mut size = LENGTH / 2;
    while size > 0 {
        let mut at = 0;
        while at < failing.len() && left > 0 {
            let end = (at + size).min(failing.len());
            let mut zeroed = failing.clone();
            zeroed[at..end].fill(0);
            let cut = [&failing[..at], &failing[end..]].concat();
            let smaller = [cut, zeroed].into_iter().find(|smaller| {
                left = left.saturating_sub(1);
                *smaller != failing && fails(smaller)
            });
            match smaller {
                Some(smaller) if smaller.len() < failing.len() => failing = smaller,
                Some(smaller) => (failing, at) = (smaller, end),
                None => at = end,
            }
        }
        size /= 2;
    }
    failing
}

#[test]
fn what_fails_is_made_as_small_as_it_can_be() {
    let decisions = Dice::new(1).decisions();
    assert_eq!(decisions, Dice::new(1).decisions());
    let wanted = decisions[40];
    let small = shrink(decisions, 2_000, |d| d.contains(&wanted));
    assert_eq!(small, [wanted]);
}
