//! The secrets in files as they were read last, so that a reload can tell which of them differ, and never what they are.

use std::collections::BTreeMap;

use serde_json::Value;
use vodrelay_core::config::{Secret, SecretSource};

use crate::config::Loaded;

/// Each by the path of its key.
#[derive(Debug)]
pub(super) struct SecretFiles(BTreeMap<String, Secret>);

impl SecretFiles {
    /// What the files have now. One that cannot be read is told of by whoever needs it.
    pub(super) fn of(loaded: &Loaded) -> Self {
        let mut files = BTreeMap::new();
        find("", &serde_json::to_value(&loaded.config).unwrap_or_default(), &mut files);
        let read = |(key, file): (String, String)| {
            let secret = SecretSource::File(file.into()).resolve(&loaded.surroundings);
            Some((key, secret.ok()?))
        };
        Self(files.into_iter().filter_map(read).collect())
    }

    /// The keys whose file has another secret later.
    pub(super) fn differing<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = &'a str> {
        let differs =
            |(key, secret): &(&String, &Secret)| later.0.get(*key).is_some_and(|later| later != *secret);
        self.0.iter().filter(differs).map(|(key, _)| key.as_str())
    }
}

/// A secret in a file is shown as `{ file = "path" }`, with a name beside it or not.
fn find(at: &str, value: &Value, files: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            let is_secret = members.keys().all(|name| name == "file" || name == "name");
            if let (Some(Value::String(file)), true) = (members.get("file"), is_secret) {
                files.insert(at.to_owned(), file.clone());
                return;
            }
            for (name, value) in members {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                find(&at, value, files);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                find(&format!("{at}[{index}]"), value, files);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_differs_is_told_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"
            [admin]
            token = { file = "token" }
            [http.callbacks.main]
            public_url = "https://x.example.com/main"
            keys = ["Abcdef0123456789", { name = "new", file = "key" }]
            [sinks.hook]
            kind = "webhook"
            [sinks.hook.options]
            url = "http://127.0.0.1:9/hook"
            secret = { file = "hook" }
        "#;
        let file = Some(folder.path().join("vodrelay.toml"));
        let loaded = crate::config::from_text(text, file, Default::default()).unwrap();
        let mut before = SecretFiles::of(&loaded);
        let mut check = |name: &str, holds: &str, expect: &[&str]| {
            std::fs::write(folder.path().join(name), holds).unwrap();
            let after = SecretFiles::of(&loaded);
            assert_eq!(before.differing(&after).collect::<Vec<_>>(), expect, "{name} = {holds:?}");
            before = after;
        };
        for name in ["token", "key", "hook"] {
            check(name, "one", &[]);
        }
        check("key", "one\n", &[]);
        check("token", "two", &["admin.token"]);
        check("key", "two", &["http.callbacks.main.keys[1]"]);
        check("hook", "two", &["sinks.hook.options.secret"]);
    }
}
