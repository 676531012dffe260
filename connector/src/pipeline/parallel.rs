//! Independent jobs on a few threads. Used by [`Encoder`](super::encode::Encoder), whose lanes know nothing of each other.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Does all jobs and returns when they are done. The calling thread makes the jobs one after the other, no more than
/// `threads` ahead of the work; with one thread it does the work as well.
///
/// # Errors
/// The first error of a job, or of making one; jobs that were not begun by then are dropped.
pub(super) fn on_threads<J: Send, E: Send>(
    threads: usize,
    mut jobs: impl Iterator<Item = Result<J, E>>,
    work: impl Fn(J) -> Result<(), E> + Sync,
) -> Result<(), E> {
    if threads <= 1 {
        return jobs.try_for_each(|job| work(job?));
    }
    let (sender, receiver) = sync_channel(threads);
    // Owned by the workers alone: when the last of them is gone, the sender notices.
    let receiver = Arc::new(Mutex::new(receiver));
    let failed = AtomicBool::new(false);
    let worker = |receiver: Arc<Mutex<std::sync::mpsc::Receiver<J>>>| {
        loop {
            let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return Ok(()) };
            if let Err(error) = work(job) {
                failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (worker, receiver) = (&worker, Arc::clone(&receiver));
                scope.spawn(move || worker(receiver))
            })
            .collect();
        drop(receiver);
        let mut made = Ok(());
        for job in jobs {
            match job {
                Ok(job) => {
                    if failed.load(Ordering::Relaxed) || sender.send(job).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    made = Err(error);
                    break;
                }
            }
        }
        drop(sender);
        let join = |done: thread::ScopedJoinHandle<'_, Result<(), E>>| done.join().unwrap_or_else(|p| resume_unwind(p));
        workers.into_iter().map(join).fold(made, Result::and)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn every_job_is_done_once_on_any_number_of_threads() {
        for threads in 0..5 {
            let sum = AtomicU64::new(0);
            let done = on_threads(threads, (1..=1_000).map(Ok::<u64, ()>), |job| {
                sum.fetch_add(job, Ordering::Relaxed);
                Ok(())
            });
            assert_eq!((done, sum.into_inner()), (Ok(()), 500_500), "{threads} threads");
        }
    }

    #[test]
    fn an_error_ends_the_work_wherever_it_comes_from() {
        for threads in 1..5 {
            let jobs = (0..).map(|job| if job < 100 { Ok(job) } else { Err("no job") });
            assert_eq!(on_threads(threads, jobs, |_| Ok(())), Err("no job"));
            let endless = (0..).map(Ok::<u64, _>);
            assert_eq!(
                on_threads(threads, endless, |job| if job == 50 { Err("no work") } else { Ok(()) }),
                Err("no work")
            );
        }
    }
}
