//! Chance that can be had again: SplitMix64, the same from the same seed on every machine.

/// A source of numbers that look random.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below that one; 0 where it is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        match self.roll().checked_rem(bound) {
            Some(number) => number,
            None => 0,
        }
    }

    /// One of that many, as an index.
    pub fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap_or(0)
    }

    /// Whether one chance in so many has come true.
    pub const fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rolls_the_same() {
        let rolls = |seed| (0..9).scan(Dice::new(seed), |dice, _| Some(dice.roll())).collect::<Vec<_>>();
        assert_eq!(rolls(7), rolls(7));
        assert_ne!(rolls(7), rolls(8));
        assert!((0..99).scan(Dice::new(1), |dice, _| Some(dice.below(3))).all(|number| number < 3));
    }
}
