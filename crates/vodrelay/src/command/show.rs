//! `vodrelay config`: the schema of the configuration, and the configuration in force with secrets left out.

use clap::Subcommand;
use serde_json::{Map, Value, json};
use url::Url;

use crate::cli::ConfigFile;
use crate::config::Loaded;
use crate::exit::{Code, Failure};
use crate::output;

/// The JSON Schema of `vodrelay.toml`, kept true by a test against the structs.
const SCHEMA: &str = include_str!("../../schema/config.schema.json");

/// Subcommands of `config`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  vodrelay config show\n  vodrelay config schema > vodrelay.schema.json")]
pub(crate) enum Args {
    /// Print the JSON Schema of vodrelay.toml
    #[command(after_help = "Examples:\n  vodrelay config schema > vodrelay.schema.json")]
    Schema,
    /// Print the configuration in force: defaults, file and environment together, secrets left out
    #[command(after_help = "Examples:\n  vodrelay config show\n  vodrelay config show --json")]
    Show {
        /// Print JSON instead of TOML
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args {
        Args::Schema => output::line(SCHEMA.trim_end()),
        Args::Show { json, config } => {
            let internal = |error: String| Failure::new(Code::Internal, error);
            let shown = in_force(&config.load()?).map_err(|error| internal(error.to_string()))?;
            if json {
                output::json(&shown);
            } else {
                let text = toml::to_string(&shown).map_err(|error| internal(error.to_string()))?;
                output::line(text.trim_end());
            }
        }
    }
    Ok(())
}

/// The configuration with what it leaves to defaults filled in. Structs leave their secrets out by themselves; the
/// options of sinks are whatever their kind wants, so there only what cannot be a secret is shown.
fn in_force(loaded: &Loaded) -> serde_json::Result<Value> {
    let mut shown = serde_json::to_value(&loaded.config)?;
    put(&mut shown, "data_dir", json!(loaded.data_dir));
    for (name, sink) in &loaded.config.sinks {
        let Some(table) = shown.pointer_mut(&format!("/sinks/{name}")) else { continue };
        let settings = sink.settings();
        put(table, "concurrency", json!(settings.concurrency));
        put(table, "timeout", json!(settings.timeout));
        put(table, "options", without_secrets("", &sink.options));
    }
    Ok(without_nulls(shown))
}

fn put(table: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = table {
        members.insert(key.to_owned(), value);
    }
}

/// Keys of options that are URLs; the file of another key may hold a secret that only looks like one.
const URLS: [&str; 3] = ["url", "endpoint", "vod_url"];
/// Keys of options whose texts are never secrets.
const HARMLESS: [&str; 27] = [
    "format",
    "source",
    "success",
    "permanent",
    "status",
    "age",
    "region",
    "path_style",
    "kind",
    "type",
    "name",
    "scheme",
    "allow_addresses",
    "redirects",
    "max_size",
    "connect_timeout",
    "idle_timeout",
    "min_speed",
    "bucket",
    "ca_file",
    "sse",
    "kms_key",
    "record_storage_class",
    "image_storage_class",
    "path",
    "profile",
    "role_name",
];

fn without_secrets(key: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) if is_reference(members) => value.clone(),
        Value::Object(members) => {
            let shown = members.iter().map(|(key, value)| (key.clone(), without_secrets(key, value)));
            Value::Object(shown.collect())
        }
        Value::Array(elements) => elements.iter().map(|element| without_secrets(key, element)).collect(),
        Value::String(text) if URLS.contains(&key) => {
            shown_url(text).unwrap_or_else(|| "***".to_owned()).into()
        }
        Value::String(_) if !HARMLESS.contains(&key) => "***".into(),
        _ => value.clone(),
    }
}

/// `{ env = "NAME" }` and `{ file = "path" }` say where a secret stands, not what it is.
fn is_reference(members: &Map<String, Value>) -> bool {
    members.len() == 1 && members.keys().all(|key| key == "env" || key == "file")
}

/// A URL without what may be a secret in it: user, password, query. One without those stays as it is written.
fn shown_url(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    let has_user = url.password().is_some() || !url.username().is_empty();
    if !has_user && url.query().is_none() {
        return Some(text.to_owned());
    }
    if has_user {
        url.set_password(None).ok()?;
        url.set_username("***").ok()?;
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    Some(url.into())
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let said = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(said.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_show_no_secret() {
        let check = |options: Value, expect: Value| assert_eq!(without_secrets("", &options), expect);
        check(json!({"url": "https://u:p@h/x?token=t"}), json!({"url": "https://***@h/x?***"}));
        check(json!({"url": "file:archive"}), json!({"url": "file:archive"}));
        check(json!({"vod_key": "Abc"}), json!({"vod_key": "***"}));
        check(json!({"vod_key": "apikey:Abc"}), json!({"vod_key": "***"}));
        check(json!({"headers": {"x-hook": "https://h/s3cret"}}), json!({"headers": {"x-hook": "***"}}));
        check(json!({"secret": ["whsec_x", {"env": "S"}]}), json!({"secret": ["***", {"env": "S"}]}));
        check(
            json!({"headers": {"Authorization": "Bearer x"}}),
            json!({"headers": {"Authorization": "***"}}),
        );
        check(json!({"format": "raw", "path_style": true}), json!({"format": "raw", "path_style": true}));
        check(
            json!({"image_hosts": [{"name": "h", "auth": {"type": "A", "keys": ["k", {"env": "K"}]}, "max_size": "1MiB"}]}),
            json!({"image_hosts": [{"name": "h", "auth": {"type": "A", "keys": ["***", {"env": "K"}]}, "max_size": "1MiB"}]}),
        );
        check(json!({"deep": [{"own": "s", "age": "1h"}]}), json!({"deep": [{"own": "***", "age": "1h"}]}));
    }
}
