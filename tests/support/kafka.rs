//! An Apache Kafka broker in `KRaft` mode: one node that is broker and controller, from the jars that
//! `.ci/setup` fetches.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use super::process::{Process, START_LIMIT, answers, free_port, wait_until};
use super::proxy::Proxy;
use super::{from_environment_or_cache, holds, program, require};

/// How long the broker may take to answer a request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// A broker on the loopback.
#[derive(Debug)]
pub(crate) struct Kafka {
    process: Process,
    java: PathBuf,
    jars: PathBuf,
    port: u16,
    folder: TempDir,
}

impl Kafka {
    /// Starts a broker without topics; `None` if there is no Java or no jars.
    pub(crate) fn start() -> Option<Self> {
        Self::start_behind(None)
    }

    /// The same; with a listener besides on the port of `behind` for those who come through a [`Proxy`] to
    /// that port: clients are sent on to the address a broker advertises, so it must be the proxy's.
    pub(crate) fn start_behind(behind: Option<&Proxy>) -> Option<Self> {
        let java = require("java (17 or newer)", program("java"))?;
        let jars = from_environment_or_cache("PLUMELINE_KAFKA_HOME", "kafka");
        let jars = require("Apache Kafka", jars.filter(|folder| holds(folder, "kafka_2.13-")))?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let config = folder.path().join("server.properties");
        let mut lines = properties(folder.path(), port, free_port());
        if let Some(proxy) = behind {
            lines = with_listener_behind(&lines, proxy);
        }
        std::fs::write(&config, lines).expect("a new file");
        let status = Command::new(&java)
            .args(["-XX:TieredStopAtLevel=1", "-cp"])
            .arg(jars.join("*"))
            .args(["kafka.tools.StorageTool", "format", "--standalone", "-t"])
            .args(["4L6g3nShT-eMCtK--X86sw", "-c"])
            .arg(&config)
            .output()
            .expect("java starts");
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
        let process = run(&java, &jars, folder.path(), port);
        Some(Self { process, java, jars, port, folder })
    }

    /// Its address.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A client configuration that names it.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config
    }

    /// The process, to signal it.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it anew on the same port and data, after [`Process::stop`] or [`Process::kill`].
    pub(crate) fn start_again(&mut self) {
        self.process = run(&self.java, &self.jars, self.folder.path(), self.port);
    }

    /// Creates a topic and waits until its partitions have a leader.
    ///
    /// # Panics
    /// If the broker refuses.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
        let results = wait_for(self.admin().create_topics([&topic], &options));
        assert_eq!(results.expect("the broker answers"), [Ok(name.to_owned())]);
        self.wait_for_partitions(name, partitions);
    }

    /// Raises the number of a topic's partitions to `partitions`.
    ///
    /// # Panics
    /// If the broker refuses.
    pub(crate) fn grow_topic(&self, name: &str, partitions: i32) {
        let count = usize::try_from(partitions).expect("a positive number");
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
        let grown = NewPartitions::new(name, count);
        let results = wait_for(self.admin().create_partitions([&grown], &options));
        assert_eq!(results.expect("the broker answers"), [Ok(name.to_owned())]);
        self.wait_for_partitions(name, partitions);
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("a valid configuration")
    }

    fn wait_for_partitions(&self, name: &str, partitions: i32) {
        let consumer: BaseConsumer = self.client().create().expect("a valid configuration");
        wait_until("partitions to have leaders", START_LIMIT, || {
            let metadata = consumer.fetch_metadata(Some(name), REQUEST_LIMIT);
            metadata.is_ok_and(|metadata| {
                let led = metadata.topics()[0].partitions().iter().filter(|p| p.leader() >= 0);
                i32::try_from(led.count()) == Ok(partitions)
            })
        });
    }
}

/// One node, small and quick to start. Topics are never created by accident.
fn properties(folder: &Path, port: u16, controller_port: u16) -> String {
    let folder = folder.display();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={folder}/data\n\
         auto.create.topics.enable=false\n\
         group.initial.rebalance.delay.ms=0\n\
         offsets.topic.num.partitions=1\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.num.partitions=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n"
    )
}

/// `properties` with a listener more.
fn with_listener_behind(properties: &str, proxy: &Proxy) -> String {
    let (server, proxy) = (proxy.server_port(), proxy.port());
    let with = |line: &str| match line.split_once('=') {
        Some(("listeners", _)) => format!("{line},PROXIED://127.0.0.1:{server}\n"),
        Some(("advertised.listeners", _)) => format!("{line},PROXIED://127.0.0.1:{proxy}\n"),
        Some(("listener.security.protocol.map", _)) => format!("{line},PROXIED:PLAINTEXT\n"),
        _ => format!("{line}\n"),
    };
    let lines: String = properties.lines().map(with).collect();
    lines + "inter.broker.listener.name=PLAINTEXT\n"
}

fn run(java: &Path, jars: &Path, folder: &Path, port: u16) -> Process {
    let command = [
        java.display().to_string(),
        "-Xmx512m".to_owned(),
        "-XX:TieredStopAtLevel=1".to_owned(),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".to_owned(),
        "-cp".to_owned(),
        jars.join("*").display().to_string(),
        "kafka.Kafka".to_owned(),
        folder.join("server.properties").display().to_string(),
    ];
    let knows_itself = || {
        let consumer: Result<BaseConsumer, _> =
            ClientConfig::new().set("bootstrap.servers", format!("127.0.0.1:{port}")).create();
        let metadata = consumer.and_then(|c| c.fetch_metadata(None, Duration::from_secs(2)));
        metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
    };
    Process::start(&command, &folder.join("kafka.log"), || answers(port) && knows_itself())
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a small runtime").block_on(future)
}
