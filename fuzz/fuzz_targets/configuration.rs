//! The configuration: any text is either a configuration or an error that names a path, and no error shows a secret.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use vodrelay::config::from_text;

/// By the names that the fixtures have for them, so that the seeds lead to them.
const SECRETS: [(&str, &str); 2] = [
    ("VOD_CALLBACK_KEY", "Abcdef0123456789"),
    ("CMS_SECRET", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
];

fuzz_target!(|text: &str| {
    let variables = [("STATE_DIRECTORY", "/nonexistent")].into_iter().chain(SECRETS);
    let environment: HashMap<String, String> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
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
    for (_, secret) in SECRETS {
        assert!(text.contains(secret) || !message.contains(secret), "{message}");
    }
}
