//! The files of the page: what they may do, who gets them, and that every word stands in both languages.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{Setup, WELL, ask};

const SCRIPT: &str = include_str!("../../page/page.js");

async fn file(path: &str, known: Option<&str>) -> (u16, HeaderMap, Vec<u8>) {
    let mut request = Request::get(path);
    if let Some(tag) = known {
        request = request.header("if-none-match", tag);
    }
    let router = Setup { token: Some("secret"), ..WELL }.router();
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn its_files_need_no_token_and_may_do_little() {
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let (status, headers, body) = file(path, None).await;
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, kind), "{path}");
        assert!(!body.is_empty(), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        let policy = headers["content-security-policy"].to_str().unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob:",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|found| found == rule), "{path}: {rule} in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");

        let tag = headers["etag"].to_str().unwrap().to_owned();
        let (status, headers, body) = file(path, Some(&format!("\"other\", W/{tag}"))).await;
        assert_eq!((status, body.len(), headers["etag"].to_str().unwrap()), (304, 0, tag.as_str()), "{path}");
        assert_eq!(file(path, Some("\"other\"")).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn what_it_asks_for_needs_the_token() {
    for path in ["/api/v1/now", "/api/v1/stream", "/api/v1/sinks", "/page.html"] {
        assert_eq!(ask(Setup { token: Some("secret"), ..WELL }, path, "").await.0, 401, "{path}");
    }
    let (status, body) = ask(Setup { token: Some("secret"), ..WELL }, "/api/v1/now", "Bearer secret").await;
    assert_eq!(status, 200);
    let now: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(now["you"], serde_json::json!({"token": null, "role": "operate"}));
    assert_eq!(now["totals"]["events"], 12);
    assert_eq!(now["drained"], false);
    assert_eq!(now["minutes"].as_array().unwrap().len(), 1, "{now}");
}

#[tokio::test]
async fn without_a_token_no_site_reaches_it_by_a_name_of_its_own() {
    let check = async |token, host: &str, path: &str, status: u16| {
        let request = Request::get(path).header("host", host).header("authorization", "Bearer secret");
        let router = Setup { token, ..WELL }.router();
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{host}{path}");
    };
    check(None, "evil.example:8081", "/api/v1/now", 421).await;
    check(None, "evil.example:8081", "/metrics", 421).await;
    check(None, "127.0.0.1:8081", "/api/v1/now", 200).await;
    check(None, "relay:8081", "/readyz", 200).await;
    check(Some("secret"), "relay.example.com", "/api/v1/now", 200).await;
}

/// Whatever an event says, it reaches the document as text.
#[test]
fn it_makes_no_markup_of_text_and_knows_no_other_host() {
    for way in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "createContextualFragment",
        "DOMParser",
        "setHTML",
        "eval(",
        "new Function",
        "srcdoc",
        "javascript:",
        "import(",
        "postMessage",
    ] {
        assert!(!SCRIPT.contains(way), "{way}");
    }
    let namespace = "http://www.w3.org/2000/svg";
    for text in [SCRIPT, include_str!("../../page/index.html"), include_str!("../../page/page.css")] {
        assert!(!text.replace(namespace, "").contains("://"));
        assert!(!text.contains("url("));
    }
}

/// The table of one language: each key with what stands in braces in its text.
fn words(language: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (_, table) = SCRIPT.split_once(&format!("\n  {language}: {{\n")).unwrap();
    let (table, _) = table.split_once("\n  },").unwrap();
    let entry = |line: &str| {
        let (key, text) = line.trim().split_once(": ").unwrap();
        assert!(text.starts_with('"') && text.ends_with("\","), "{line}");
        let holes = text.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0.to_owned());
        (key.to_owned(), holes.collect())
    };
    let entries: Vec<_> = table.lines().map(entry).collect();
    let count = entries.len();
    let table: BTreeMap<_, _> = entries.into_iter().collect();
    assert_eq!(table.len(), count, "a key of {language} stands there twice");
    table
}

#[test]
fn every_word_stands_in_both_languages_and_is_there() {
    let (english, chinese) = (words("en"), words("zh"));
    assert!(english.len() > 150, "{}", english.len());
    for (key, holes) in &english {
        assert_eq!(chinese.get(key), Some(holes), "{key}");
    }
    for key in chinese.keys() {
        assert!(english.contains_key(key), "{key}");
    }
    // Written out where it is used, or made of a beginning and a word of the API.
    let made = ["c_", "w_", "j_", "theme_"];
    for key in english.keys() {
        let is_used =
            SCRIPT.contains(&format!("\"{key}\"")) || made.iter().any(|begin| key.starts_with(begin));
        assert!(is_used, "{key} is used nowhere");
    }
    let calls = [" t(\"", "(t(\"", "[t(\"", "{t(\"", "sentence(\""]
        .iter()
        .flat_map(|call| SCRIPT.split(call).skip(1));
    for key in calls.filter_map(|rest| rest.split_once('"')).map(|(key, _)| key) {
        assert!(english.contains_key(key), "{key} has no text");
    }
}
