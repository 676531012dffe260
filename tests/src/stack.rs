//! Where the servers are. `tests/run` starts them and says so in the environment, with the names of
//! `compose/local/stack.env`.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Addresses and credentials of one running stack.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Kafka, `host:port`.
    pub brokers: String,
    /// Kafka's listener behind the proxy, `host:port`; it sends its clients to [`Self::brokers_advertised_port`].
    pub brokers_behind: String,
    /// Where a proxy before that listener must listen.
    pub brokers_advertised_port: u16,
    /// Base address of Nessie's Iceberg REST catalog.
    pub catalog: String,
    /// Address of the object store.
    pub s3: String,
    /// Access key of the object store.
    pub s3_access_key: String,
    /// Secret key of the object store.
    pub s3_secret_key: String,
    /// Address of Trino.
    pub trino: String,
    /// A Python with PyIceberg.
    pub python: PathBuf,
    /// Where `compose/local` keeps the servers' data and the numbers of their processes.
    pub state: PathBuf,
}

impl Stack {
    /// The stack that `tests/run` has started.
    ///
    /// # Errors
    /// There is none: the tests of the stack are never skipped in silence.
    pub fn of_env() -> Result<Self> {
        let variable = |name: &str| {
            std::env::var(name)
                .with_context(|| format!("{name} is not set: these tests need the servers; start them with tests/run"))
        };
        variable("STACK")?;
        let http = |name: &str| variable(name).map(|port| format!("http://127.0.0.1:{port}"));
        Ok(Self {
            brokers: format!("127.0.0.1:{}", variable("KAFKA_PORT")?),
            brokers_behind: format!("127.0.0.1:{}", variable("KAFKA_FAULTS_PORT")?),
            brokers_advertised_port: variable("KAFKA_FAULTS_ADVERTISED_PORT")?.parse()?,
            catalog: format!("{}/iceberg/", http("NESSIE_PORT")?),
            s3: http("MINIO_PORT")?,
            s3_access_key: variable("S3_ACCESS_KEY")?,
            s3_secret_key: variable("S3_SECRET_KEY")?,
            trino: http("TRINO_PORT")?,
            python: variable("STACK_PYTHON")?.into(),
            state: variable("CLICKSTREAM_STATE")?.into(),
        })
    }
}
