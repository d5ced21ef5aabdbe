//! The replication engine in a simulated world: a log that appends, prunes, makes checkpoints that turn out to be bad,
//! loses its last commits to a promoted standby and is restored from a backup; replicas that crash, come back with another
//! tail and acknowledge in pieces; streams that are cut at one end first; a driver that is slow and fails; timers that
//! race. Only the engine is real.
//!
//! Every run follows from its seed. What must always hold is checked at every step ([`truths`]), and when the world has
//! fallen quiet every replica must be equal to the log, or stand still for a reason that is true. A seed that fails says
//! how to run it alone.

mod database;
mod driver;
mod faults;
mod replica;
mod truths;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use world::{Tally, World};

/// Seeds when they are not said: fewer where the code is slow, `DRILL=full` for many.
fn seeds() -> u64 {
    match (std::env::var("DRILL").as_deref(), cfg!(debug_assertions)) {
        (Ok("full"), _) => 100_000,
        (Ok(_) | Err(_), true) => 500,
        (Ok(_) | Err(_), false) => 10_000,
    }
}

#[test]
fn every_replica_becomes_equal_to_the_log_or_says_truly_why_not() {
    if let Ok(seed) = std::env::var("SEED") {
        let seed = seed.parse().expect("SEED is a number");
        println!("{:#?}", World::new(seed, true).run());
        return;
    }
    let (began, seeds, next) = (Instant::now(), seeds(), AtomicU64::new(0));
    let tallies = thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let run = || {
            let mut tally = Tally::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return tally;
                }
                match catch_unwind(AssertUnwindSafe(|| World::new(seed, false).run())) {
                    Ok(run) => tally.add(&run),
                    Err(panic) => {
                        next.store(seeds, Ordering::Relaxed);
                        eprintln!(
                            "\nseed {seed} failed; it alone: SEED={seed} cargo test -p control-plane --test replication_sim\n"
                        );
                        resume_unwind(panic)
                    }
                }
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).fold(
            Tally::default(),
            |mut all, tally| {
                all.add(&tally);
                all
            },
        )
    });
    println!("{seeds} seeds in {:?}: {tallies:#?}", began.elapsed());
    tallies.shows_everything();
}
