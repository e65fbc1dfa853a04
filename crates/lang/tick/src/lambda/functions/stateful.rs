//! Functions that remember.

use super::Body::Stateful;
use super::{Answer, functions, unfit};
use crate::lambda::state::{Keeper, Slot};
use crate::lambda::value::Operand;

functions! {
    "count": () -> Int = Stateful(Keeper::Count, count);
    "sigma": (Float) -> Float = Stateful(Keeper::Sigma, sigma);
    "spread": (Float) -> Float = Stateful(Keeper::Spread, spread);
    "rand": () -> Int = Stateful(Keeper::Random, rand), (Int) -> Int = Stateful(Keeper::Random, rand);
}

fn count<'a>(slot: &mut Slot, _: &[Operand<'a>]) -> Answer<'a> {
    let Slot::Count(count) = slot else { return Err(unfit()) };
    *count = count.wrapping_add(1);
    Ok(Operand::Int(*count))
}

/// Gives how many standard deviations a value is away from the mean of all values so far, itself included.
fn sigma<'a>(slot: &mut Slot, args: &[Operand<'a>]) -> Answer<'a> {
    let (Slot::Sigma { count, mean, squares }, [Operand::Float(value)]) = (slot, args) else {
        return Err(unfit());
    };
    *count += 1.0;
    let delta = value - *mean;
    *mean += delta / *count;
    *squares += delta * (value - *mean);
    let variance = *squares / (*count - 1.0);
    if *count < 2.0 || variance == 0.0 {
        return Ok(Operand::Float(0.0));
    }
    Ok(Operand::Float((value - *mean).abs() / variance.sqrt()))
}

fn spread<'a>(slot: &mut Slot, args: &[Operand<'a>]) -> Answer<'a> {
    let (Slot::Spread { low, high }, [Operand::Float(value)]) = (slot, args) else {
        return Err(unfit());
    };
    if value < low {
        *low = *value;
    }
    if value > high {
        *high = *value;
    }
    Ok(Operand::Float(if low <= high { *high - *low } else { 0.0 }))
}

/// Gives a number below the argument, or below 2^63.
fn rand<'a>(slot: &mut Slot, args: &[Operand<'a>]) -> Answer<'a> {
    let Slot::Random(word) = slot else { return Err(unfit()) };
    let limit = match args {
        [] => 1_u64 << 63,
        [Operand::Int(limit @ 1..)] => *limit as u64,
        [Operand::Int(limit)] => {
            return Err(format!("limit must be greater than zero, got {limit}").into());
        }
        _ => return Err(unfit()),
    };
    // The high half of the product is below the limit; the numbers whose low half is too small would be one too many.
    let surplus = limit.wrapping_neg() % limit;
    loop {
        let product = u128::from(next(word)) * u128::from(limit);
        if product as u64 >= surplus {
            return Ok(Operand::Int((product >> 64) as i64));
        }
    }
}

/// Source: SplitMix64 (Steele, Lea, Flood 2014).
fn next(word: &mut u64) -> u64 {
    *word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *word;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
