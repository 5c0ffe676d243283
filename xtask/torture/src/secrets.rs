//! What nobody may ever read: every secret of a run stands in the relay's environment, and nowhere that it writes.

use std::fs;
use std::path::{Path, PathBuf};

/// The environment's variable of each secret, and the secret.
#[derive(Clone, Debug)]
pub(crate) struct Secrets(Vec<(&'static str, String)>);

pub(crate) const CALLBACK_KEY: &str = "TORTURE_CALLBACK_KEY";
pub(crate) const SINK_KEY: &str = "TORTURE_SINK_KEY";
pub(crate) const SINK_SECRET: &str = "TORTURE_SINK_SECRET";
pub(crate) const ADMIN_TOKEN: &str = "TORTURE_ADMIN_TOKEN";
pub(crate) const MNS_SECRET: &str = "TORTURE_MNS_SECRET";

/// That part of the sink's URL which is secret.
pub(crate) const URL_TOKEN: &str = "Q7queryTokenOfTheTortureRun";

impl Secrets {
    /// Those of one run. They differ from all that might stand somewhere for another reason.
    pub(crate) fn new() -> Self {
        Self(vec![
            (CALLBACK_KEY, "CallbackKeyOfTheTortureRun9".to_owned()),
            (SINK_KEY, "SinkKeyOfTheTortureRun8".to_owned()),
            (SINK_SECRET, "whsec_dG9ydHVyZS10b3J0dXJlLXRvcnR1cmUtdG9ydHVyZQ==".to_owned()),
            (ADMIN_TOKEN, "AdminTokenOfTheTortureRun7".to_owned()),
            (MNS_SECRET, "MnsSecretOfTheTortureRun6".to_owned()),
        ])
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, secret)| (*name, secret.as_str()))
    }

    pub(crate) fn value(&self, variable: &str) -> &str {
        self.0.iter().find(|(name, _)| *name == variable).map_or("", |(_, secret)| secret)
    }

    /// Every place below the folder, in content or name of a file, where a secret stands; as text, or as what it is
    /// the Base64 of.
    pub(crate) fn find_below(&self, folder: &Path) -> Result<Vec<String>, String> {
        let mut needles: Vec<&[u8]> = self.0.iter().map(|(_, secret)| secret.as_bytes()).collect();
        needles.extend([URL_TOKEN.as_bytes(), b"torture-torture-torture".as_slice()]);
        let mut found = Vec::new();
        // The configuration is what the operator wrote, the URL with it.
        for file in files(folder)?.into_iter().filter(|file| !file.ends_with("vodrelay.toml")) {
            let name = file.to_string_lossy().into_owned();
            let content = fs::read(&file).map_err(|error| format!("cannot read {name}: {error}"))?;
            for needle in &needles {
                if contains(&content, needle) || contains(name.as_bytes(), needle) {
                    found.push(format!("{} in {name}", String::from_utf8_lossy(needle)));
                }
            }
        }
        Ok(found)
    }
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let mut rest = text;
    while let Some(place) = rest.iter().position(|byte| byte == first) {
        rest = rest.get(place..).unwrap_or_default();
        if rest.starts_with(needle) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_a_file_and_in_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new();
        fs::write(folder.path().join("log"), "nothing to see, torture-torture").unwrap();
        assert_eq!(secrets.find_below(folder.path()), Ok(vec![]));
        fs::write(folder.path().join("log"), "xAAdminTokenOfTheTortureRun7x").unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/SinkKeyOfTheTortureRun8"), "").unwrap();
        assert_eq!(secrets.find_below(folder.path()).unwrap().len(), 2);
    }
}
