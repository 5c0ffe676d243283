//! The first inputs of each target, made of the fixtures.

use std::fs;
use std::path::{Path, PathBuf};

/// Bodies of callbacks and of queue messages.
pub(super) fn events(fixtures: &Path) -> Result<Vec<Vec<u8>>, String> {
    let folder = fixtures.join("events");
    Ok([files(&folder, "json")?, files(&folder, "txt")?].concat())
}

pub(super) fn configurations(fixtures: &Path) -> Result<Vec<Vec<u8>>, String> {
    files(&fixtures.join("config"), "toml")
}

/// Requests with events, some with the proof that the target's receiver takes.
pub(super) fn callbacks(fixtures: &Path) -> Result<Vec<Vec<u8>>, String> {
    const PROOF: &str =
        "X-VOD-TIMESTAMP: 1700000000\r\nX-VOD-SIGNATURE: ad8020183abed515d47b1ae0f92e453f\r\n";
    let mut requests = vec![b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n".to_vec()];
    for (number, body) in files(&fixtures.join("events"), "json")?.into_iter().enumerate() {
        let (path, proof) = if number % 3 == 0 { ("/open", "") } else { ("/vod", PROOF) };
        let framing = format!("content-length: {}\r\n\r\n", body.len());
        let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", body.len());
        let (before, after) = if number % 2 == 0 { (framing, "") } else { (chunked, "\r\n0\r\n\r\n") };
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\n{proof}{before}");
        requests.push([head.as_bytes(), &body, after.as_bytes()].concat());
    }
    Ok(requests)
}

/// Recorded answers, each to every request that the target makes.
pub(super) fn answers(fixtures: &Path) -> Result<Vec<Vec<u8>>, String> {
    const REQUESTS: u8 = 6;
    let recorded = files(&fixtures.join("mns"), "response.http")?;
    let bodies = recorded.iter().filter_map(|answer| {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|end| end + 4);
        let end =
            end.or_else(|| answer.windows(2).position(|window| window == b"\n\n").map(|end| end + 2))?;
        answer.get(end..)
    });
    Ok(bodies.flat_map(|body| (0..REQUESTS).map(move |request| [&[request, 0], body].concat())).collect())
}

/// The content of every file below that folder whose name ends so, in the order of their names.
fn files(folder: &Path, ending: &str) -> Result<Vec<Vec<u8>>, String> {
    let unreadable = |path: &Path, error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))? {
            let path: PathBuf = entry.map_err(|error| unreadable(&folder, error))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(&format!(".{ending}")) {
                found.push(path);
            }
        }
    }
    if found.is_empty() {
        return Err(format!("{} has no file of {ending}", folder.display()));
    }
    found.sort();
    found.iter().map(|path| fs::read(path).map_err(|error| unreadable(path, error))).collect()
}
