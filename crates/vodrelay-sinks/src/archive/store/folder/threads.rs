//! The threads on which a folder is worked in. A file system whose server is gone answers nothing, for hours, and a call
//! to it cannot be given up; so no such call is made on a thread that anything else needs, and few are under way.

use std::any::Any;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use vodrelay_core::config::Span;

/// How many operations may be under way in a folder, those that were given up and have not ended among them.
const PLACES: usize = 16;
/// How long to wait for one of the places. A folder that answers has one free within milliseconds.
const PLACE_WITHIN: Duration = Duration::from_secs(2);
/// How long an operation may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why an operation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Silence {
    #[error(
        "the folder does not answer: {PLACES} operations in it have not ended; see to its file system, or to the server \
         behind it"
    )]
    NoPlace,
    #[error(
        "the folder does not answer within {}; see to its file system, or to the server behind it",
        Span(ANSWER_WITHIN)
    )]
    NoAnswer,
    #[error("no thread could be started to work in the folder: {0}")]
    NoThread(std::io::ErrorKind),
    #[error("the operation in the folder panicked; this is a bug")]
    Panicked,
}

/// The threads of each folder, which stay the same over a reload: operations that hang are counted on.
#[derive(Debug, Default)]
pub(in crate::archive) struct ThreadsOfFolders(Mutex<HashMap<PathBuf, Weak<Threads>>>);

impl ThreadsOfFolders {
    pub(in crate::archive) fn of(&self, folder: &Path) -> Arc<Threads> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = known.get(folder).and_then(Weak::upgrade) {
            return threads;
        }
        known.retain(|_, threads| threads.strong_count() > 0);
        let threads = Arc::new(Threads::new());
        known.insert(folder.to_owned(), Arc::downgrade(&threads));
        threads
    }
}

/// The threads of one folder.
#[derive(Debug)]
pub(in crate::archive) struct Threads {
    places: Arc<Semaphore>,
    /// Where that is dropped whose drop closes or removes a file.
    last: Mutex<Option<mpsc::Sender<Box<dyn Any + Send>>>>,
}

impl Threads {
    fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), last: Mutex::new(None) }
    }

    /// Does it on a thread of its own. Whoever waits can go away; the operation then keeps its place until it ends.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Silence> {
        let place = timeout(PLACE_WITHIN, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(Silence::NoPlace) };
        let (tell, told) = oneshot::channel();
        let work = move || {
            let result = operation();
            drop(place);
            let _ = tell.send(result);
        };
        let started = thread::Builder::new().name("archive folder".to_owned()).spawn(work);
        started.map_err(|error| Silence::NoThread(error.kind()))?;
        match timeout(ANSWER_WITHIN, told).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(Silence::Panicked),
            Err(_) => Err(Silence::NoAnswer),
        }
    }

    /// Drops it elsewhere, one after the other.
    fn drop_elsewhere(&self, value: Box<dyn Any + Send>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = last.get_or_insert_with(|| {
            let (sender, values) = mpsc::channel();
            let work = move || values.into_iter().for_each(drop);
            // Where there is no thread, the channel is closed, and what was sent is dropped here after all.
            let _ = thread::Builder::new().name("archive folder's last".to_owned()).spawn(work);
            sender
        });
        let _ = sender.send(value);
    }
}

/// Something open in the folder, which is never closed on the thread that happens to drop it.
#[derive(Debug)]
pub(super) struct Held<T: Send + 'static> {
    value: Option<T>,
    threads: Arc<Threads>,
}

impl<T: Send + 'static> Held<T> {
    pub(super) fn new(value: T, threads: Arc<Threads>) -> Self {
        Self { value: Some(value), threads }
    }

    pub(super) fn get(&mut self) -> Option<&mut T> {
        self.value.as_mut()
    }
}

impl<T: Send + 'static> Drop for Held<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.threads.drop_elsewhere(Box::new(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operation that hangs until it is let go.
    fn hanging() -> (mpsc::Sender<()>, impl FnOnce() + Send + 'static) {
        let (let_go, gone) = mpsc::channel::<()>();
        (let_go, move || gone.recv().unwrap_or_default())
    }

    #[tokio::test]
    async fn what_hangs_keeps_its_place_and_the_rest_is_told() {
        let folders = ThreadsOfFolders::default();
        let threads = folders.of(Path::new("/mnt/nas"));
        let mut hang = Vec::new();
        for _ in 0..PLACES {
            let (let_go, operation) = hanging();
            hang.push(let_go);
            let given_up = timeout(Duration::from_millis(1), threads.run(operation)).await;
            assert!(given_up.is_err(), "it hangs");
        }
        let again = folders.of(Path::new("/mnt/nas"));
        assert_eq!(again.run(|| 7).await, Err(Silence::NoPlace), "a reload finds what hangs");
        assert_eq!(folders.of(Path::new("/mnt/other")).run(|| 7).await, Ok(7));
        hang.pop();
        assert_eq!(threads.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_told_and_costs_no_place() {
        let threads = ThreadsOfFolders::default().of(Path::new("/mnt/nas"));
        for _ in 0..=PLACES {
            let panics = threads.run(|| panic!("a bug"));
            assert_eq!(panics.await, Err::<(), _>(Silence::Panicked));
        }
    }

    #[tokio::test]
    async fn what_is_held_is_dropped_on_another_thread() {
        struct Dropped(mpsc::Sender<thread::ThreadId>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                let _ = self.0.send(thread::current().id());
            }
        }
        let threads = ThreadsOfFolders::default().of(Path::new("/mnt/nas"));
        let (dropped, told) = mpsc::channel();
        drop(Held::new(Dropped(dropped), threads));
        assert_ne!(told.recv().unwrap(), thread::current().id());
    }
}
