//! The configuration: any text is either a configuration or an error that names a path, and no error shows a secret.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use vodrelay::config::from_text;

const SECRET: &str = "tops3cretTops3cret";

fuzz_target!(|text: &str| {
    let environment = HashMap::from([
        ("STATE_DIRECTORY".to_owned(), "/nonexistent".to_owned()),
        ("SECRET".to_owned(), SECRET.to_owned()),
    ]);
    let loaded = match from_text(text, None, environment) {
        Ok(loaded) => loaded,
        Err(error) => return check(&error.to_string(), text),
    };
    if let Err(error) = loaded.config.check() {
        check(&error.to_string(), text);
    }
    let _ = loaded.config.routes();
    for error in [
        loaded.config.http.resolve(&loaded.surroundings).err(),
        loaded.config.mns.resolve(&loaded.surroundings).err(),
        loaded.config.admin.resolve(&loaded.surroundings).err(),
    ]
    .into_iter()
    .flatten()
    {
        check(&error.to_string(), text);
    }
});

/// Who writes the secret itself where a name belongs has shown it already.
fn check(message: &str, text: &str) {
    assert!(!message.is_empty());
    assert!(text.contains(SECRET) || !message.contains(SECRET), "{message}");
}
