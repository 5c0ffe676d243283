//! What is known about event types: which there are, what identifies them, and who else uses their names.

use crate::json::{Object, Value};

/// The type that this crate reads in full.
pub(super) const DYNAMIC_IMAGE_COMPLETE: &str = "DynamicImageComplete";

/// The other types in the provider's documents. Each is about something that has a main id.
const KNOWN: [&str; 21] = [
    "AIMediaAuditComplete",
    "AIMediaDNAComplete",
    "AIVideoTagComplete",
    "AddLiveRecordVideoComplete",
    "AttachedMediaUploadComplete",
    "CreateAuditComplete",
    "DeleteMediaComplete",
    "FileUploadComplete",
    "ImageUploadComplete",
    "LiveRecordVideoComposeStart",
    "MediaBaseChangeComplete",
    "ProduceMediaComplete",
    "RestoreMediaComplete",
    "SnapshotComplete",
    "StreamTranscodeComplete",
    "SubmitMediaRefreshComplete",
    "TranscodeComplete",
    "UpdateMediaStorageClassComplete",
    "UploadByURLComplete",
    "VideoAnalysisComplete",
    "WorkflowTaskComplete",
];

/// Whether the provider's documents have this type.
pub(super) fn is_known(event_type: &str) -> bool {
    event_type == DYNAMIC_IMAGE_COMPLETE || KNOWN.binary_search(&event_type).is_ok()
}

/// The member that stands in for a main id where the documents let one be absent: a failed upload has made no video,
/// and a workflow need not be about one.
pub(super) fn stand_in(event_type: &str) -> Option<&'static str> {
    match event_type {
        "UploadByURLComplete" => Some("JobId"),
        "WorkflowTaskComplete" => Some("TaskId"),
        _ => None,
    }
}

/// The other vendor that the event seems to come from. Both use the member `EventType` too.
pub(super) fn other_vendor(content: &Object<'_>) -> Option<&'static str> {
    if let Some(Value::Object(data)) = content.get("Data")
        && data.get("Vid").is_some()
    {
        return Some("Volcengine");
    }
    let holds_an_event = content
        .members()
        .iter()
        .any(|member| member.name.ends_with("Event") && matches!(member.value, Value::Object(_)));
    holds_an_event.then_some("Tencent Cloud")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_are_found() {
        assert!(KNOWN.is_sorted());
        assert!(KNOWN.iter().all(|event_type| is_known(event_type)));
        assert!(is_known(DYNAMIC_IMAGE_COMPLETE));
        assert!(!is_known("SingleTranscodeComplete"));
    }
}
