//! Chance for scripts: the generator of Redis (the 48-bit congruence of `drand48`), equal on every machine.

use pbj_lua::{Raised, Stack};

use super::native::{Context, Functions, Native};

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
/// What stands in the low bits after seeding.
const SEED_LOW: u64 = 0x330E;

/// What replaces functions of the table `math`.
pub(super) static FUNCTIONS: Functions = &[("random", random as Native), ("randomseed", randomseed)];

/// The state of the generator; all scripts share it.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x1234_ABCD_330E)
    }
}

impl Random {
    fn seed(&mut self, seed: i32) {
        self.0 = u64::from(seed.cast_unsigned()) << 16 | SEED_LOW;
    }

    /// 31 bits.
    fn next(&mut self) -> u32 {
        self.0 = (self.0.wrapping_mul(MULTIPLIER) + INCREMENT) & MASK;
        (self.0 >> 17) as u32
    }

    /// From 0 up to, but not including, 1.
    fn unit(&mut self) -> f64 {
        let max = i32::MAX.cast_unsigned();
        f64::from(self.next() % max) / f64::from(max)
    }
}

fn random(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    if !context.is_script() {
        return Err(stack.raise_here(b"math.random can only be called inside a script invocation"));
    }
    let chance = context.random.unit();
    let value = match stack.len() {
        0 => chance,
        1 => {
            let upper = stack.check_int(1)?;
            if upper < 1 {
                return Err(stack.argument_error(1, "interval is empty"));
            }
            (chance * f64::from(upper)).floor() + 1.0
        }
        2 => {
            let lower = stack.check_int(1)?;
            let upper = stack.check_int(2)?;
            if lower > upper {
                return Err(stack.argument_error(2, "interval is empty"));
            }
            // The width wraps as the C of Lua lets it.
            let width = upper.wrapping_sub(lower).wrapping_add(1);
            (chance * f64::from(width)).floor() + f64::from(lower)
        }
        _ => return Err(stack.raise_here(b"wrong number of arguments")),
    };
    stack.push_number(value);
    Ok(1)
}

fn randomseed(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    if !context.is_script() {
        return Err(stack.raise_here(b"math.randomseed can only be called inside a script invocation"));
    }
    let seed = stack.check_int(1)?;
    context.random.seed(seed);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sequence that redis-server 7.0.15 gives after `math.randomseed(10)`.
    #[test]
    fn the_sequence_is_that_of_redis() {
        let mut random = Random::default();
        random.seed(1);
        assert_eq!(random.next(), 89_400_484);
        assert_eq!(random.next(), 976_015_093);
    }
}
