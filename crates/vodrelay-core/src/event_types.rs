//! The event types that metrics count one by one.

/// The types with a figure of their own, sorted; whatever the provider adds counts as the last. Labels must be few,
/// and an event may come from strangers where `allow_unsigned` is set.
pub const EVENT_TYPES: [&str; 25] = [
    "AIMediaAuditComplete",
    "AIMediaDNAComplete",
    "AIVideoCensorComplete",
    "AIVideoTagComplete",
    "AddLiveRecordVideoComplete",
    "AttachedMediaUploadComplete",
    "BatchProduceMediaComplete",
    "CreateAuditComplete",
    "DeleteMediaComplete",
    "DynamicImageComplete",
    "FileUploadComplete",
    "ImageUploadComplete",
    "MediaAiAnalysisComplete",
    "MediaBaseChangeComplete",
    "ProduceMediaComplete",
    "RegisterMediaComplete",
    "RestoreMediaComplete",
    "SnapshotComplete",
    "StreamTranscodeComplete",
    "TranscodeComplete",
    "UpdateMediaStorageClassComplete",
    "UploadByURLComplete",
    "VideoAnalysisComplete",
    "WorkflowTaskComplete",
    "other",
];

/// What the label `event_type` may be: one of those, or `none` where nothing could be read.
pub const EVENT_TYPES_AND_NONE: [&str; EVENT_TYPES.len() + 1] = {
    let mut all = ["none"; EVENT_TYPES.len() + 1];
    let (types, _) = all.split_at_mut(EVENT_TYPES.len());
    types.copy_from_slice(&EVENT_TYPES);
    all
};

/// The types that the provider is known to send.
pub fn known() -> impl Iterator<Item = &'static str> {
    EVENT_TYPES.into_iter().filter(|event_type| *event_type != "other")
}

/// Whether the provider is known to send that type.
#[must_use]
pub fn is_known(event_type: &str) -> bool {
    known().any(|known| known == event_type)
}

/// The place of that type among [`EVENT_TYPES`].
#[must_use]
pub fn place(event_type: &str) -> usize {
    EVENT_TYPES.binary_search(&event_type).unwrap_or(EVENT_TYPES.len() - 1)
}

/// The label of that type.
#[must_use]
pub fn label(event_type: &str) -> &'static str {
    EVENT_TYPES.get(place(event_type)).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_sorted_and_strangers_share_the_last() {
        assert!(EVENT_TYPES.is_sorted());
        assert_eq!(label("DynamicImageComplete"), "DynamicImageComplete");
        assert_eq!(label("NeverHeardOf"), "other");
    }
}
