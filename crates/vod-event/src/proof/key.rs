//! The key that VOD and its users share.

use std::fmt;

/// A private key, as VOD's console calls it. It never prints.
#[derive(Clone)]
pub struct PrivateKey(String);

impl PrivateKey {
    /// A key of this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text, for those who need it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Which of VOD's rules the key breaks, so that VOD's console would not take it; nothing where it would.
    #[must_use]
    pub fn rule_violation(&self) -> Option<String> {
        let lacks = |is_wanted: fn(&char) -> bool| !self.0.chars().any(|character| is_wanted(&character));
        let length = self.0.chars().count();
        let violation = match () {
            () if self.0.is_empty() => "is empty".to_owned(),
            () if self.0.trim() != self.0 => "has blanks around it".to_owned(),
            () if length > 32 => format!("has {length} characters, and VOD takes at most 32"),
            () if lacks(char::is_ascii_uppercase) => "has no upper-case letter".to_owned(),
            () if lacks(char::is_ascii_lowercase) => "has no lower-case letter".to_owned(),
            () if lacks(char::is_ascii_digit) => "has no digit".to_owned(),
            () => return None,
        };
        Some(violation)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl fmt::Display for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A key with the name that logs and hints call it by.
#[derive(Clone, Debug)]
pub struct NamedKey {
    /// The name.
    pub name: String,
    /// The key.
    pub key: PrivateKey,
}
