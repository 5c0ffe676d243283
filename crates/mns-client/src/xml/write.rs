//! Documents as published clients write them: one line, with the provider's namespace.

const PROLOG: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
const NAMESPACE: &str = "http://mns.aliyuncs.com/doc/v1/";

#[derive(Debug)]
pub(crate) struct Writer(String);

impl Writer {
    /// A document with that root.
    pub(crate) fn open(root: &str) -> Self {
        Self(format!("{PROLOG}<{root} xmlns=\"{NAMESPACE}\">"))
    }

    /// An element with text.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.begin(name);
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                // A bare one would arrive as a line feed.
                '\r' => self.0.push_str("&#13;"),
                other => self.0.push(other),
            }
        }
        self.end(name);
    }

    /// The start of an element.
    pub(crate) fn begin(&mut self, name: &str) {
        self.0.extend(["<", name, ">"]);
    }

    /// The end of an element.
    pub(crate) fn end(&mut self, name: &str) {
        self.0.extend(["</", name, ">"]);
    }

    /// The whole document.
    pub(crate) fn close(mut self, root: &str) -> String {
        self.end(root);
        self.0
    }
}
