//! Values by path, for routing.

use crate::json::{self, Object, Value};

/// How many strings a path may lead through.
const MAX_TEXTS: usize = 4;

pub(super) fn texts(object: &Object<'_>, path: &str) -> Option<Vec<String>> {
    let mut found = Found::default();
    found.descend_into(object, path, 0);
    found.is_there.then_some(found.texts)
}

#[derive(Default)]
struct Found {
    is_there: bool,
    texts: Vec<String>,
}

impl Found {
    fn descend_into(&mut self, object: &Object<'_>, path: &str, decoded: usize) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        match (object.get(name), rest) {
            (None, _) => {}
            (Some(value), None) => self.take(value),
            (Some(value), Some(rest)) => self.descend(value, rest, decoded),
        }
    }

    fn descend(&mut self, value: &Value<'_>, path: &str, decoded: usize) {
        match value {
            Value::Object(object) => self.descend_into(object, path, decoded),
            Value::Array(elements) => {
                for element in elements {
                    self.descend(element, path, decoded);
                }
            }
            Value::String(text) if decoded < MAX_TEXTS => {
                if let Ok(document) = json::parse(text) {
                    self.descend(&document.value, path, decoded + 1);
                }
            }
            _ => {}
        }
    }

    fn take(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => return,
            Value::Bool(flag) => self.texts.push(flag.to_string()),
            Value::Number(token) => self.texts.push((*token).to_owned()),
            Value::String(text) => self.texts.push(text.clone().into_owned()),
            Value::Array(elements) => elements.iter().for_each(|element| self.take(element)),
            Value::Object(_) => {}
        }
        self.is_there = true;
    }
}

#[cfg(test)]
mod tests {
    use crate::read;

    #[track_caller]
    fn check(body: &str, path: &str, expect: Option<&[&str]>) {
        let texts = read(body.as_bytes()).unwrap().field(path);
        let expect = expect.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(texts, expect, "{path}");
    }

    #[test]
    fn by_name_and_by_path() {
        let body = r#"{"EventType":"X","N":1.50,"B":true,"Z":null,"O":{"a":{"b":"c"}},"A":[1,"two",null,[3]],
                       "S":[{"Status":"success"},{"Status":"fail"},{}],"E":[]}"#;
        check(body, "N", Some(&["1.50"]));
        check(body, "B", Some(&["true"]));
        check(body, "Z", None);
        check(body, "Q", None);
        check(body, "O", Some(&[]));
        check(body, "O.a.b", Some(&["c"]));
        check(body, "O.a.q", None);
        check(body, "O.a.b.c", None);
        check(body, "A", Some(&["1", "two", "3"]));
        check(body, "E", Some(&[]));
        check(body, "S.Status", Some(&["success", "fail"]));
        check(body, "S.Code", None);
        check(body, "", None);
        check(body, ".", None);
    }

    #[test]
    fn through_texts() {
        check(r#"{"EventType":"X","Extend":"{\"env \":\"prod\",\"n\":7}"}"#, "Extend.env", Some(&["prod"]));
        check(r#"{"EventType":"X","Extend":"plain text"}"#, "Extend.env", None);
        check(r#"{"EventType":"X","Extend":"plain text"}"#, "Extend", Some(&["plain text"]));
    }

    #[test]
    fn through_four_texts_and_no_more() {
        let nested = |levels: usize| {
            let inner = (0..levels).fold(
                serde_json::json!({"a": "end"}),
                |inner, _| serde_json::json!({ "a": inner.to_string() }),
            );
            serde_json::json!({"EventType": "X", "a": inner["a"]}).to_string()
        };
        check(&nested(4), "a.a.a.a.a", Some(&["end"]));
        check(&nested(5), "a.a.a.a.a.a", None);
    }

    #[test]
    fn of_the_content_first_then_of_the_envelope() {
        let body = r#"{"UserId":7,"EventType":"X","Status":"outer","MessageBody":"{\"Status\":\"inner\"}"}"#;
        check(body, "Status", Some(&["inner"]));
        check(body, "UserId", Some(&["7"]));
        check(body, "EventType", Some(&["X"]));
        check(body, "MessageBody.Status", Some(&["inner"]));
    }
}
