//! Arguments of `connector demo`, and the directory it works in.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::TempDir;

use super::DemoError;
use super::stack::Addresses;

/// The directory without `--dir`: in the working directory, easy to find and to remove.
pub const DIR_DEFAULT: &str = "clickstream-demo";

/// The usual port of Kafka Connect, and the one of Iceberg's own REST examples.
const REST_PORT: u16 = 8083;
const CATALOG_PORT: u16 = 8181;

/// Options of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// How many records to produce at first.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub events: u64,
    /// Over how many days their times are spread, up to now.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Seed of the journeys.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// End after these records, instead of going on with a trickle of visitors until Ctrl-C.
    #[arg(long)]
    pub once: bool,
    /// Print nothing on standard output but a JSON report.
    #[arg(long)]
    pub json: bool,
    /// Keep catalog and data files here; a table that is there is continued. Without: `clickstream-demo` in the working
    /// directory, or with --once a temporary directory that is removed at the end.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Where the worker's REST API listens [default: 127.0.0.1:8083, with --once any free port].
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where the Iceberg REST catalog listens [default: 127.0.0.1:8181, with --once any free port].
    #[arg(long, value_name = "ADDR:PORT")]
    pub catalog_listen: Option<SocketAddr>,
    /// Records a second after the first ones, about, once the visitors of some minutes have come.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rate: u32,
}

impl DemoArgs {
    /// Where the servers are to listen.
    pub(super) fn addresses(&self) -> Addresses {
        let default = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, if self.once { 0 } else { port }));
        Addresses {
            rest: self.listen.unwrap_or_else(|| default(REST_PORT)),
            catalog: self.catalog_listen.unwrap_or_else(|| default(CATALOG_PORT)),
        }
    }
}

/// The directory of a run.
#[derive(Debug)]
pub(super) enum Place {
    /// Stays.
    Kept(PathBuf),
    /// Goes with this value.
    Temporary(TempDir),
}

impl Place {
    /// Chooses and creates the directory.
    pub(super) fn open(args: &DemoArgs) -> Result<Self, DemoError> {
        if args.once && args.dir.is_none() {
            let made = tempfile::Builder::new().prefix("clickstream-demo-").tempdir();
            let failed = |source| DemoError::Directory { path: std::env::temp_dir(), source };
            return made.map(Self::Temporary).map_err(failed);
        }
        let wanted = args.dir.clone().unwrap_or_else(|| PathBuf::from(DIR_DEFAULT));
        let failed = |source| DemoError::Directory { path: wanted.clone(), source };
        std::fs::create_dir_all(&wanted).map_err(failed)?;
        // Absolute, because locations of data files are written into the table.
        wanted.canonicalize().map(Self::Kept).map_err(failed)
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }

    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        demo: DemoArgs,
    }

    fn args(line: &[&str]) -> DemoArgs {
        Line::parse_from(std::iter::once(&"demo").chain(line)).demo
    }

    #[test]
    fn a_single_run_takes_free_ports_and_leaves_no_directory() {
        let once = args(&["--once"]);
        assert_eq!((once.events, once.addresses().rest.port(), once.addresses().catalog.port()), (10_000, 0, 0));
        let place = Place::open(&once).unwrap();
        let path = place.path().to_owned();
        assert!(path.is_dir() && !place.is_kept());
        drop(place);
        assert!(!path.exists());
    }

    #[test]
    fn a_standing_demo_has_ports_that_can_be_known() {
        let standing = args(&["--catalog-listen", "127.0.0.1:9000"]);
        let addresses = standing.addresses();
        assert_eq!((addresses.rest.port(), addresses.catalog.port()), (8083, 9000));
        assert!(addresses.rest.ip().is_loopback());
    }
}
