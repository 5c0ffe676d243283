//! A bucket in memory that speaks as much S3 as the archive does: conditional puts, reads, multipart uploads. A test can
//! step in before any request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::script::{Request, Script, answer};

/// What is in the bucket.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// The parts of uploads that are neither completed nor given up.
    pub(crate) uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
}

pub(crate) struct Bucket {
    pub(crate) server: Script,
    contents: Arc<Mutex<Contents>>,
}

impl Bucket {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_, _| None).await
    }

    /// `step_in` may change what is there before a request is served, or answer in its place.
    pub(crate) async fn start_with(
        step_in: impl Fn(&Request, &mut Contents) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let contents = Arc::<Mutex<Contents>>::default();
        let shared = Arc::clone(&contents);
        let server = Script::start(move |request| {
            let mut contents = shared.lock().unwrap();
            step_in(request, &mut contents).unwrap_or_else(|| contents.serve(request))
        })
        .await;
        Self { server, contents }
    }

    /// The options of a store in this bucket.
    pub(crate) fn options(&self) -> Value {
        json!({"url": "s3://bucket", "endpoint": self.server.url(""), "path_style": true, "region": "eu-1",
               "access_key_id": "id", "secret_access_key": "very-secret"})
    }

    /// For whoever else changes what is there.
    pub(crate) fn shared(&self) -> Arc<Mutex<Contents>> {
        Arc::clone(&self.contents)
    }

    pub(crate) fn contents(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.contents.lock().unwrap()
    }

    /// The requests, without those by which the archive finds out, once, whether conditions are heeded, and the looks
    /// that it takes as long as it does not know.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let is_conditional = |request: &Request| {
            ["if-none-match", "if-match"].into_iter().any(|name| request.header(name).is_some())
        };
        let mut requests = self.server.requests();
        requests.dedup_by(|second, first| {
            is_conditional(first) && (first.path(), &first.body) == (second.path(), &second.body)
        });
        let after = requests.iter().skip(1).map(Some).chain([None]);
        let is_look = |(request, next): (&Request, Option<&Request>)| {
            let next = next.filter(|next| next.method() == "PUT" && is_conditional(next));
            request.method() == "HEAD" && next.is_some_and(|next| next.path() == request.path())
        };
        let looks: Vec<bool> = requests.iter().zip(after).map(is_look).collect();
        requests.into_iter().zip(looks).filter(|(_, is_look)| !is_look).map(|(request, _)| request).collect()
    }

    /// Method, key and query of each request, in short: `PUT images/….gif?partNumber=1`.
    pub(crate) fn log(&self) -> Vec<String> {
        let short = |request: &Request| {
            let (path, query) = target(request);
            let words: Vec<&str> = query.split('&').filter(|word| !word.starts_with("uploadId")).collect();
            let query = if query.is_empty() { String::new() } else { format!("?{}", words.join("&")) };
            format!("{} {}{query}", request.method(), path.split('/').next().unwrap())
        };
        self.requests().iter().map(short).collect()
    }
}

impl Contents {
    /// Takes the object, whatever stands there.
    pub(crate) fn put(&mut self, request: &Request) -> Vec<u8> {
        let etag = format!("etag: {}", etag(&request.body));
        self.objects.insert(target(request).0, request.body.clone());
        answer("200 OK", &[&etag], "")
    }

    fn serve(&mut self, request: &Request) -> Vec<u8> {
        let (key, query) = target(request);
        let value = |name: &str| {
            let values = query.split('&').filter_map(|pair| pair.split_once('='));
            values.into_iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_owned())
        };
        match (request.method(), value("uploadId"), self.objects.get(&key)) {
            ("POST", None, _) => {
                self.uploads.insert(key, BTreeMap::new());
                answer(
                    "200 OK",
                    &[],
                    "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
                )
            }
            ("PUT", Some(_), _) => {
                let Some(parts) = self.uploads.get_mut(&key) else { return answer("404 Not Found", &[], "") };
                parts.insert(value("partNumber").unwrap().parse().unwrap(), request.body.clone());
                answer("200 OK", &["etag: \"part\""], "")
            }
            ("POST", Some(_), Some(_)) if request.header("if-none-match").is_some() => {
                answer("412 Precondition Failed", &[], "<Error><Code>PreconditionFailed</Code></Error>")
            }
            ("POST", Some(_), _) => {
                let parts = self.uploads.remove(&key).unwrap();
                self.objects.insert(key, parts.into_values().flatten().collect());
                answer(
                    "200 OK",
                    &[],
                    "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>",
                )
            }
            ("DELETE", Some(_), _) => {
                self.uploads.remove(&key);
                answer("204 No Content", &[], "")
            }
            ("PUT", None, standing) => {
                let etag = standing.map(|content| etag(content));
                let is_refused = match (request.header("if-none-match"), request.header("if-match")) {
                    (Some(_), _) => etag.is_some(),
                    (_, Some(wanted)) => etag.as_deref() != Some(wanted),
                    _ => false,
                };
                if is_refused {
                    return answer("412 Precondition Failed", &[], "");
                }
                self.put(request)
            }
            ("GET" | "HEAD", _, None) => answer("404 Not Found", &[], ""),
            (method, _, Some(content)) => {
                let etag = format!("etag: {}", etag(content));
                let modified = "last-modified: Tue, 14 Nov 2023 22:13:20 GMT";
                let mut found = answer("200 OK", &[&etag, modified], &"x".repeat(content.len()));
                found.truncate(found.len() - content.len());
                if method == "GET" {
                    found.extend(content);
                }
                found
            }
            (method, ..) => panic!("the archive sends no {method}"),
        }
    }
}

fn etag(content: &[u8]) -> String {
    let sum = content
        .iter()
        .step_by(1 + content.len() / 5000)
        .fold(0u64, |sum, byte| sum * 7 % 1_000_003 + u64::from(*byte));
    format!("\"{}-{sum:x}\"", content.len())
}

/// The key below the bucket, and the query.
pub(crate) fn target(request: &Request) -> (String, String) {
    let target = request.head.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (path.trim_start_matches("/bucket/").replace("%3D", "="), query.to_owned())
}
