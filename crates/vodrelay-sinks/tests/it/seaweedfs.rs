//! The archive against a second S3 implementation, SeaweedFS, where `.ci/run` has installed it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vodrelay_core::config::Surroundings;
use vodrelay_core::testing::{event_body, sink_contract};

use crate::archive::delivery;
use crate::build;
use crate::reader::{Archive, remove_second};
use crate::s3::keep_images;
use crate::server::{KEY, SECRET};

/// The server with a bucket `events`, killed with this value: it has nothing to lose.
pub(crate) struct SeaweedFs {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl SeaweedFs {
    async fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let may = ["Admin", "Read", "Write", "List"];
        let keys = json!([{"accessKey": KEY, "secretKey": SECRET}]);
        let identities = json!({"identities": [{"name": "test", "credentials": keys, "actions": may}]});
        let config = folder.path().join("s3.json");
        std::fs::write(&config, identities.to_string()).unwrap();
        let (data, socket) = (folder.path().join("data"), folder.path().join("socket"));
        std::fs::create_dir(&data).unwrap();
        let parts =
            ["s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc"];
        let parts =
            parts.into_iter().chain(["filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc"]);
        // All are held before any is let go, so that no two are the same.
        let listeners: Vec<_> = parts.map(|part| (part, TcpListener::bind("127.0.0.1:0").unwrap())).collect();
        let ports = listeners.iter().map(|(part, listener)| (*part, listener.local_addr().unwrap().port()));
        let ports: Vec<(&str, u16)> = ports.collect();
        drop(listeners);
        let child = Command::new(program)
            .args([
                "mini",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-bucket=events",
                "-s3.autoCreateBucket=false",
            ])
            .args(["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"])
            .args(ports.iter().map(|(part, port)| format!("-{part}={port}")))
            .arg(format!("-dir={}", data.display()))
            .arg(format!("-s3.config={}", config.display()))
            .arg(format!("-s3.localSocket={}", socket.display()))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Self { child, port: ports[0].1, folder };
        server.up().await;
        server
    }

    /// Waits until it takes objects.
    async fn up(&self) {
        let sink = build("archive", self.options("events"), Surroundings::default()).unwrap();
        let mut last = String::new();
        for _ in 0..100 {
            match sink.check().await {
                Ok(_) => return,
                Err(error) => last = error.message,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        panic!("SeaweedFS did not come up: {last}\n{log}");
    }

    fn options(&self, bucket: &str) -> Value {
        json!({"url": format!("s3://{bucket}/some/prefix"), "endpoint": format!("http://127.0.0.1:{}", self.port),
               "path_style": true, "region": "eu-1", "access_key_id": KEY, "secret_access_key": SECRET})
    }
}

fn program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/interop/venv/bin/weed");
    program.is_file().then_some(program)
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_is_an_archive_like_any_other() {
    let Some(program) = program() else {
        eprintln!("SKIPPED: SeaweedFS is not installed; .ci/run does that");
        return;
    };
    let server = SeaweedFs::start(&program).await;
    let sink = build("archive", server.options("events"), Surroundings::default()).unwrap();
    assert_eq!(sink.check().await.unwrap(), Vec::<String>::new(), "it heeds conditions");
    sink_contract(sink).await;
    let archive = Archive::of(server.options("events"));
    assert_eq!(archive.listed(None).await.len(), 4);
    keep_images(server.options("events")).await;
    assert_eq!(archive.verified().await, "2 kept\n");
    let sink = build("archive", server.options("events"), Surroundings::default()).unwrap();
    sink.deliver(&delivery(event_body(2))).await.unwrap();
    let before = archive.listed(None).await;
    remove_second(&archive).await;
    assert_eq!(archive.listed(None).await.len(), before.len() - 1);

    let refused = async |key: &str, value: &str| {
        let mut options = server.options("events");
        options[key] = json!(value);
        let sink = build("archive", options, Surroundings::default()).unwrap();
        sink.deliver(&delivery(event_body(9))).await.unwrap_err().message
    };
    let check = |message: String, says: &str| assert!(message.contains(says), "{message}");
    check(refused("access_key_id", "another").await, "the store does not know the access key another: ");
    let says = "the secret does not belong to the access key test-key-id: ";
    check(refused("secret_access_key", "another").await, says);
    check(refused("url", "s3://missing/some").await, "; there is no such bucket at this endpoint");
}
