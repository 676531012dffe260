//! Command line of the simulation: the seeds that are kept and many others, or one again with its trace.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use sim::{Rule, Run, Tally, kept, run, run_many};

/// The protocol's machines in a simulated world.
#[derive(Debug, Parser)]
struct Args {
    /// Schedules to run.
    #[arg(long, default_value_t = 20_000)]
    schedules: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// One seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// A rule that is switched off: R1, R2, R3, R5 to R13.
    #[arg(long)]
    without: Option<Rule>,
    /// Print every step of the seed.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Threads.
    #[arg(long)]
    threads: Option<usize>,
}

/// The seeds that are kept, then the others.
fn search(args: &Args) -> (Tally, Option<Run>) {
    let again = kept().into_iter().filter(|_| args.without.is_none()).map(|seed| run(seed, None, false));
    if let Some(run) = again.into_iter().find(|run| run.broken.is_some()) {
        return (run.tally.clone(), Some(run));
    }
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    run_many(args.from..args.from.saturating_add(args.schedules), args.without, threads)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let began = Instant::now();
    let (tally, broken) = match args.seed {
        Some(seed) => {
            let run = run(seed, args.without, args.trace);
            run.lines.iter().for_each(|line| println!("{line}"));
            (run.tally.clone(), run.broken.is_some().then_some(run))
        }
        None => search(&args),
    };
    if args.seed.is_none() {
        println!("{tally}\nin {:.1} s", began.elapsed().as_secs_f64());
    }
    match broken {
        None => ExitCode::SUCCESS,
        Some(Run { seed, broken, .. }) => {
            let without = args.without.map_or_else(String::new, |rule| format!(" --without {rule}"));
            println!("broken: {}", broken.unwrap_or_default());
            println!("cargo run --release -p sim -- --seed {seed}{without} --trace");
            ExitCode::FAILURE
        }
    }
}
