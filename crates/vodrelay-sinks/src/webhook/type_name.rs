//! The provider's EventType in the dotted form that Standard Webhooks asks for.

/// `vod.` and the type in snake case, its last word after a dot: `vod.dynamic_image.complete`.
pub(super) fn standard_type(event_type: &str) -> String {
    let words = words(event_type);
    match words.split_last() {
        None => "vod.unknown".to_owned(),
        Some((last, [])) => format!("vod.{last}"),
        Some((last, first)) => format!("vod.{}.{last}", first.join("_")),
    }
}

/// `AIMediaDNAComplete` is `ai`, `media`, `dna`, `complete`: a word begins at a capital after a small letter or a
/// digit, and at the last capital of several before a small letter.
fn words(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        let is_after = |test: fn(&char) -> bool| before.is_some_and(test);
        let ends_acronym =
            is_after(char::is_ascii_uppercase) && letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        let starts_word = letter.is_ascii_uppercase()
            && (is_after(char::is_ascii_lowercase) || is_after(char::is_ascii_digit) || ends_acronym);
        if starts_word || !letter.is_ascii_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_ascii_alphanumeric()) {
            word.push(letter.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::standard_type;

    #[test]
    fn types_read_as_words() {
        let check = |event_type: &str, expected: &str| assert_eq!(standard_type(event_type), expected);
        check("DynamicImageComplete", "vod.dynamic_image.complete");
        check("AIMediaDNAComplete", "vod.ai_media_dna.complete");
        check("AIMediaAuditComplete", "vod.ai_media_audit.complete");
        check("FileUploadComplete", "vod.file_upload.complete");
        check("StreamTranscodeComplete", "vod.stream_transcode.complete");
        check("URLUploadComplete", "vod.url_upload.complete");
        check("Mp4Done", "vod.mp4.done");
        check("H264Done", "vod.h264.done");
        check("snake_case_already", "vod.snake_case.already");
        check("Complete", "vod.complete");
        check("../odd type\n", "vod.odd.type");
        check("图片", "vod.unknown");
    }
}
