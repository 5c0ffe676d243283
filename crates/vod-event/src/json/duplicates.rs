//! The same name twice in one object: dropped where the values are equal, refused where they differ.
//!
//! Two readers of such an object would disagree, and the provider's signature does not cover the body. Sorting keeps
//! this from being quadratic, in the number of members as well as in the comparison of what they hold.

use super::{Member, Object, Value};

/// The second member of a name whose values differ.
pub(super) struct Conflict<'a> {
    pub(super) name: String,
    pub(super) raw: &'a str,
}

/// Keeps the first of each name, and says one that was repeated.
pub(super) fn settle<'a>(members: &mut Vec<Member<'a>>) -> Result<Option<String>, Conflict<'a>> {
    if members.len() <= SMALL && surely_distinct(members) {
        return Ok(None);
    }
    let mut is_repeated = vec![false; members.len()];
    let mut repeated = None;
    let sorted = by_name(members);
    for ((_, first), (index, again)) in sorted.iter().zip(sorted.iter().skip(1)) {
        if first.name != again.name {
            continue;
        }
        if !same(&first.value, &again.value) {
            return Err(Conflict { name: shortened(&again.name), raw: again.raw });
        }
        if let Some(flag) = is_repeated.get_mut(*index) {
            *flag = true;
        }
        repeated.get_or_insert_with(|| shortened(&again.name));
    }
    if repeated.is_some() {
        let mut flags = is_repeated.into_iter();
        members.retain(|_| !flags.next().unwrap_or_default());
    }
    Ok(repeated)
}

/// Up to here a glance at each name usually settles it.
const SMALL: usize = 16;

/// Whether no two names share length, first and last byte, as far as 64 places can tell.
fn surely_distinct(members: &[Member<'_>]) -> bool {
    let mut taken = 0_u64;
    members.iter().all(|member| {
        let name = member.name.as_bytes();
        let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
        let place = name.len() * 7 + usize::from(first) + usize::from(last) * 3;
        let bit = 1_u64 << (place % 64);
        let is_free = taken & bit == 0;
        taken |= bit;
        is_free
    })
}

/// Members by name, those of one name in the order of the text.
fn by_name<'m, 'a>(members: &'m [Member<'a>]) -> Vec<(usize, &'m Member<'a>)> {
    let mut sorted: Vec<_> = members.iter().enumerate().collect();
    sorted.sort_by(|(_, left), (_, right)| left.name.cmp(&right.name));
    sorted
}

/// Whether two values say the same: objects in any order, numbers by their tokens, strings after unescaping.
fn same(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Number(left), Value::Number(right)) => left == right,
        (Value::String(left), Value::String(right)) => left == right,
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => same_members(left, right),
        _ => false,
    }
}

fn same_members(left: &Object<'_>, right: &Object<'_>) -> bool {
    left.members.len() == right.members.len()
        && by_name(&left.members)
            .into_iter()
            .zip(by_name(&right.members))
            .all(|((_, left), (_, right))| left.name == right.name && same(&left.value, &right.value))
}

fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}
