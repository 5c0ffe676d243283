//! The path of the gaps.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use vodrelay_admin::router;
use vodrelay_core::testing::{MemoryJournal, MockJudge};
use vodrelay_core::{Ledger, Name, SourceName, SystemClock, Trouble, TroubleKind};

use crate::refused::get;

#[tokio::test]
async fn they_are_told_with_what_they_touch() {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    let now = Timestamp::now();
    let ago = |seconds| now - SignedDuration::from_secs(seconds);
    let source = SourceName::callback(&Name::new("main").unwrap());
    let full = Trouble { first_at: ago(60), count: 7, ..Trouble::once(TroubleKind::Full, source, ago(30)) };
    journal.note_troubles(vec![full]).await.unwrap();
    let paths = router(crate::state(journal, MockJudge::new()));

    let (status, found) = get(&paths, &format!("/gaps?since={}", ago(3_600))).await;
    assert_eq!(status, 200, "{found}");
    let expected = json!([{
        "kind": "turned_away", "from": ago(60), "until": ago(30),
        "source": "callbacks.main", "cause": "full", "count": 7,
    }]);
    assert_eq!(found["gaps"], expected);
    assert_eq!(found["sources"], json!(["callbacks.main"]));
    let (_, found) = get(&paths, &format!("/gaps?since={}&until={}", ago(3_600), ago(100))).await;
    assert_eq!(found["gaps"], json!([]));
    for query in ["", "since=noon", "since=2026-11-02T00:00:00Z&until=2026-11-01T00:00:00Z"] {
        assert_eq!(get(&paths, &format!("/gaps?{query}")).await.0, 400, "{query}");
    }
}
