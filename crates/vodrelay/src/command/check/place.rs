//! What `check` finds about the place of the journal and of secrets: what kind of file system it is, and who may read it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Finding, Verdict, finding};
use crate::config::Loaded;

/// Bits of a mode: what the group may, and what everybody may.
const GROUP_OR_OTHERS: u32 = 0o077;
const OTHERS: u32 = 0o007;

pub(super) fn findings(loaded: &Loaded) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(file_system(&loaded.data_dir));
    findings.extend(owner(&loaded.data_dir, rustix::process::geteuid().as_raw()));
    findings.extend(readable_by_all(loaded));
    findings
}

/// What is odd about the file system that a folder is on.
fn file_system(folder: &Path) -> Option<Finding> {
    #[cfg(target_os = "linux")]
    {
        let magic = rustix::fs::statfs(folder).ok()?.f_type;
        // Its width differs between machines, and some of the numbers have the highest bit of 32.
        let doubt = doubt_of(u64::try_from(magic as i64 & 0xffff_ffff).ok()?)?;
        Some(finding("data_dir", Verdict::Warning, format!("{} {doubt}", folder.display())))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
    }
}

/// By the numbers of `statfs(2)`.
#[cfg(target_os = "linux")]
fn doubt_of(magic: u64) -> Option<String> {
    let network = |name: &str| {
        Some(format!(
            "is on a network file system ({name}), which keeps neither locks nor syncs as a journal needs them; put it on a local disk"
        ))
    };
    match magic {
        0x6969 => network("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => network("SMB"),
        0x00c3_6400 => network("Ceph"),
        0x5346_414f => network("AFS"),
        0x6573_5546 => Some(
            "is on a FUSE file system; most of those do not sync to a disk, so put it on a local one unless you know that this does"
                .to_owned(),
        ),
        0x0102_1997 => Some("is shared into this machine (9p), which syncs as its host pleases; put it on a local disk".to_owned()),
        0x794c_7630 => Some(
            "is on a container's own layer (overlay), which goes when the container does, with every event that waits; mount a volume there"
                .to_owned(),
        ),
        0x0102_1994 | 0x8584_58f6 => {
            Some("is in memory (tmpfs), so a restart of the machine takes every event that waits; put it on a disk".to_owned())
        }
        _ => None,
    }
}

/// Whose it is, and who may look into it. What VOD sends is for nobody else on this machine.
fn owner(folder: &Path, user: u32) -> Vec<Finding> {
    let Ok(found) = folder.metadata() else { return Vec::new() };
    let (shown, owner) = (folder.display(), found.uid());
    let mut findings = Vec::new();
    if found.mode() & GROUP_OR_OTHERS & 0o044 != 0 {
        let detail = format!("{shown} can be read by others on this machine; `chmod 700 {shown}`");
        findings.push(finding("data_dir", Verdict::Warning, detail));
    }
    if owner != user {
        let detail = format!(
            "{shown} is the user's with the id {owner}, and this check runs as {user}, so it may see what the relay does not; \
             run it as the user that runs the relay (`sudo -u USER vodrelay check`)"
        );
        findings.push(finding("data_dir", Verdict::Warning, detail));
    }
    findings
}

/// Files with a secret in them that every user of this machine can read.
fn readable_by_all(loaded: &Loaded) -> Vec<Finding> {
    let config = serde_json::to_value(&loaded.config).unwrap_or_default();
    let mut files = Vec::new();
    files_of_secrets(&config, &mut files);
    files.sort();
    files.dedup();
    let is_open = |file: &PathBuf| file.metadata().is_ok_and(|found| found.mode() & OTHERS & 0o004 != 0);
    let files = files.into_iter().map(|file| loaded.surroundings.resolve(&file)).filter(is_open);
    let told = |file: PathBuf| {
        let shown = file.display();
        let detail = format!(
            "{shown} holds a secret, and every user of this machine can read it; `chmod 600 {shown}`"
        );
        finding("secrets", Verdict::Warning, detail)
    };
    files.map(told).collect()
}

/// The files of `{ file = "path" }`, with a name beside that or without.
fn files_of_secrets(value: &Value, files: &mut Vec<PathBuf>) {
    match value {
        Value::Object(members) => {
            files.extend(members.get("file").and_then(Value::as_str).map(PathBuf::from));
            members.values().for_each(|value| files_of_secrets(value, files));
        }
        Value::Array(elements) => elements.iter().for_each(|value| files_of_secrets(value, files)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn file_systems_on_which_a_journal_is_not_safe_are_named() {
        let check = |magic: u64, says: Option<&str>| {
            let doubt = doubt_of(magic);
            match says {
                Some(says) => {
                    assert!(doubt.as_ref().is_some_and(|doubt| doubt.contains(says)), "{magic:x}: {doubt:?}")
                }
                None => assert_eq!(doubt, None),
            }
        };
        check(0x6969, Some("NFS"));
        check(0xff53_4d42, Some("SMB"));
        check(0x794c_7630, Some("mount a volume"));
        check(0x0102_1994, Some("in memory"));
        check(0xef53, None);
        check(0x5846_5342, None);
        // In memory on any Linux; a sandbox may not have it.
        if let Some(found) = file_system(Path::new("/dev/shm")) {
            assert_eq!(found.verdict, Verdict::Warning);
        }
    }

    #[test]
    fn who_else_may_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let open =
            |mode: u32| std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).unwrap();
        open(0o700);
        assert!(owner(folder.path(), user).is_empty());
        open(0o755);
        assert!(owner(folder.path(), user)[0].detail.contains("chmod 700"));
        open(0o700);
        assert!(owner(folder.path(), user + 1)[0].detail.contains("sudo -u USER vodrelay check"));
    }

    #[test]
    fn secrets_that_everybody_can_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, mode) in [("callback.key", 0o644), ("hook.key", 0o640), ("archive.key", 0o604)] {
            std::fs::write(path(name), "Abcdef0123456789").unwrap();
            std::fs::set_permissions(path(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let text = r#"
            data_dir = "data"
            [http.callbacks.main]
            public_url = "https://relay.example.com/vod/callback"
            keys = [{ name = "a", file = "callback.key" }]
            [sinks.hook]
            kind = "webhook"
            options = { url = "http://127.0.0.1:9/", secret = [{ file = "hook.key" }], vod_key = { file = "archive.key" } }
        "#;
        let loaded = crate::config::from_text(text, Some(path("vodrelay.toml")), Default::default()).unwrap();
        let told: Vec<String> = readable_by_all(&loaded).into_iter().map(|found| found.detail).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("archive.key") && told[1].contains("callback.key"), "{told:?}");
    }
}
