//! `mqtt`: tries the broker.

use std::path::PathBuf;

use figment::value::{Dict, Value};

use super::access::AccessArgs;
#[cfg(feature = "mqtt")]
use super::args::stdout;
use crate::config::load;
use crate::error::{Error, Result};

#[cfg(feature = "mqtt")]
mod cause;
#[cfg(feature = "mqtt")]
mod connection_test;

#[cfg(feature = "mqtt")]
pub(super) use connection_test::{Trial, try_broker};

/// Commands of the broker.
#[derive(Debug, clap::Subcommand)]
pub(super) enum MqttCommand {
    /// Send a message to ourselves by way of the broker, and say how long each step took; exit code 5 where it fails.
    Test(TestArgs),
}

/// Which broker, and as whom; what is left out is as the configuration says.
#[derive(Debug, clap::Args)]
pub(super) struct TestArgs {
    /// Broker: mqtt://host[:port], mqtts:// for TLS.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Configuration file of the daemon.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Node id in the topic.
    #[arg(long, value_name = "ID")]
    node: Option<String>,
    #[command(flatten)]
    access: AccessArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl TestArgs {
    fn flags(&self) -> Dict {
        let dict = |pairs: Vec<(&str, Option<Value>)>| -> Dict {
            pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
        };
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| Value::from(path.display().to_string()));
        let access = &self.access;
        let tls = dict(vec![
            ("ca_file", file(&access.ca_file)),
            ("cert_file", file(&access.cert_file)),
            ("key_file", file(&access.key_file)),
            ("server_name", access.server_name.clone().map(Value::from)),
        ]);
        let publish = dict(vec![
            ("broker", self.broker.clone().map(Value::from)),
            ("username", access.username.clone().map(Value::from)),
            ("password_file", file(&access.password_file)),
            ("tls", (!tls.is_empty()).then(|| Value::from(tls))),
        ]);
        dict(vec![
            ("node", self.node.clone().map(Value::from)),
            ("publish", (!publish.is_empty()).then(|| Value::from(publish))),
        ])
    }
}

/// Runs it.
///
/// # Errors
/// A configuration error where no broker is named; a broker error that says which step failed.
pub(super) fn run(command: &MqttCommand) -> Result<()> {
    let MqttCommand::Test(args) = command;
    let config = load(args.config.as_deref(), args.flags())?.config;
    if config.publish.broker.is_none() {
        return Err(Error::config(
            "no broker is named",
            "give `--broker mqtt://HOST`, or `--config FILE` of a configuration with publish.broker",
        ));
    }
    #[cfg(not(feature = "mqtt"))]
    return Err(Error::config("this program was built without MQTT", "build it with the feature `mqtt`"));
    #[cfg(feature = "mqtt")]
    {
        let trial = try_broker(&config.publish, &config.node_id());
        show(&trial, args.json)?;
        trial.outcome
    }
}

#[cfg(feature = "mqtt")]
fn show(trial: &Trial, json: bool) -> Result<()> {
    let mut out = stdout();
    if json {
        return out.line(format_args!("{:#}", trial.json()));
    }
    out.line(format_args!("{}", trial.broker))?;
    for step in &trial.steps {
        out.prose(format_args!("  {:<11} {:>8.1} ms  {}", step.what, step.ms, step.detail))?;
    }
    if trial.outcome.is_ok() {
        out.prose(format_args!("ok: a message to ourselves came back, {:.1} ms in all", trial.ms()))?;
    }
    Ok(())
}
