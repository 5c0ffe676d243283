//! `check --through` beside a running relay: the way that callbacks come, and what is wrong with it.

use axum::Router;
use axum::http::StatusCode;
use tokio::net::TcpListener;

use crate::cli::{check_in, vodrelay};
use crate::relay::{PUBLIC_URL, Process, configuration, free_port};

#[tokio::test(flavor = "multi_thread")]
async fn the_way_that_callbacks_come_is_tried_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (http, admin) = (free_port(), free_port());
    let by = |url: &str| configuration(http, admin).replace(PUBLIC_URL, url);
    let own = format!("http://{http}/vod/callback");
    let relay = Process::start_with(folder, &by(&own), http, admin).await;
    let says = "DNS, proxy, path and signature are right, over plain HTTP: ";
    check_in(folder, &["check", "--through"], "", 0, &format!("ok         callback main: {says}{own}"));
    let output = vodrelay(folder, &["check", "--through", "main"], "");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1, "one line in all");
    check_in(folder, &["check", "--through", "other"], "", 78, "no callback other is configured");
    check_in(folder, &["check", "--through", "--offline"], "", 64, "cannot be used with");

    // This check reads another configuration than the relay that runs.
    let check = |config: &str, code: i32, says: &str| {
        std::fs::write(folder.join("vodrelay.toml"), config).unwrap();
        check_in(folder, &["check", "--through"], "", code, says);
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = listener.local_addr().unwrap();
    let login =
        Router::new().fallback(async || (StatusCode::FOUND, [("location", "https://login.example.com/")]));
    let login = login.route("/ok", axum::routing::post(async || StatusCode::OK));
    tokio::spawn(async move { axum::serve(listener, login).await });
    check(
        &by(&own).replace("Abcdef0123456789", "AnotherKey2026"),
        78,
        "WRONG      callback main: signature: ",
    );
    check(&by(&format!("http://{http}/elsewhere")), 78, "path: it answers 404");
    check(&by(&format!("http://{elsewhere}/x")), 78, "proxy: it redirects to https://login.example.com/");
    check(
        &by(&format!("http://{elsewhere}/ok")),
        78,
        "proxy: something answers 200 and this relay saw no probe",
    );
    check(&by(&format!("http://{}/vod/callback", free_port())), 69, "cannot connect to 127.0.0.1");
    check(&by("https://nowhere.invalid/cb"), 69, "DNS: nowhere.invalid");
    check(&by(&format!("https://{http}/vod/callback")), 69, "NO ANSWER  callback main: ");

    check_in(folder, &["events"], "", 0, "no event matches");
    check_in(folder, &["refused", "list"], "", 0, "no refused request is kept");
    check_in(folder, &["gaps", "--since", "1s"], "", 0, "no gap");
    drop(relay);
    check(&by(&own), 69, "the probe needs the running relay");
}
