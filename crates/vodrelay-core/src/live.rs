//! What may be replaced while the relay runs: whoever needs it takes what is there now, and a reload puts another there.

use std::sync::{Arc, PoisonError, RwLock};

/// A value that may be replaced. Cloning it is cheap, and a clone sees each replacement.
#[derive(Debug)]
pub struct Live<T>(Arc<RwLock<Arc<T>>>);

impl<T> Live<T> {
    /// That value, until it is replaced.
    #[must_use]
    pub fn new(value: T) -> Self {
        Arc::new(value).into()
    }

    /// What is there now. To be held for as long as what was decided by it is being done: whoever replaces it may wait
    /// until nobody holds it any more.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another there, and answers what was there before.
    pub fn replace(&self, value: T) -> Arc<T> {
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut place, Arc::new(value))
    }
}

impl<T> From<Arc<T>> for Live<T> {
    fn from(value: Arc<T>) -> Self {
        Self(Arc::new(RwLock::new(value)))
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_clone_sees_what_is_there_now_and_what_is_held_stays() {
        let live = Live::new(1);
        let (clone, held) = (live.clone(), live.current());
        assert_eq!(*live.replace(2), 1);
        assert_eq!((*clone.current(), *held), (2, 1));
    }
}
