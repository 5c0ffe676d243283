//! The XML bodies of requests, checked against the schema.

use super::BATCH;
use crate::attributes::number_in;
use crate::queue::Draft;
use crate::refusal::Refusal;
use crate::xml::{self, Element};

/// The messages of a single or a batch request, and whether it was a batch: the root says it.
pub(crate) fn drafts(body: &[u8]) -> Result<(Vec<Draft>, bool), Refusal> {
    let root = xml::read(body).map_err(|_| Refusal::MALFORMED_XML)?;
    match &*root.name {
        "Message" => Ok((vec![draft(&root)?], false)),
        "Messages" => {
            let entries = of_batch(&root, "Message")?;
            Ok((entries.into_iter().map(draft).collect::<Result<_, _>>()?, true))
        }
        _ => Err(unexpected_root("Message or Messages")),
    }
}

/// The handles of a batch deletion.
pub(crate) fn handles(body: &[u8]) -> Result<Vec<String>, Refusal> {
    let root = read(body, "ReceiptHandles")?;
    let entries = of_batch(&root, "ReceiptHandle")?;
    Ok(entries.into_iter().map(|entry| entry.text.trim().to_owned()).collect())
}

/// The attributes of a queue. Without a body, none.
pub(crate) fn queue(body: &[u8]) -> Result<Element, Refusal> {
    if body.trim_ascii().is_empty() { Ok(Element::new("Queue", Vec::new())) } else { read(body, "Queue") }
}

fn read(body: &[u8], root: &str) -> Result<Element, Refusal> {
    let element = xml::read(body).map_err(|_| Refusal::MALFORMED_XML)?;
    if element.name == root { Ok(element) } else { Err(unexpected_root(root)) }
}

fn unexpected_root(expected: &str) -> Refusal {
    Refusal::invalid_argument(format!("The root element should be {expected}."))
}

fn of_batch<'e>(root: &'e Element, name: &'e str) -> Result<Vec<&'e Element>, Refusal> {
    let entries: Vec<&Element> = root.children_named(name).collect();
    if (1..=BATCH).contains(&entries.len()) {
        return Ok(entries);
    }
    Err(Refusal::invalid_argument(format!(
        "The number of {name} in a batch should be between 1 and {BATCH}."
    )))
}

fn draft(message: &Element) -> Result<Draft, Refusal> {
    let body = message.child("MessageBody");
    let body = body.ok_or_else(|| Refusal::invalid_argument("MessageBody is required."))?;
    // What a client did not escape is no text.
    if !body.children.is_empty() {
        return Err(Refusal::MALFORMED_XML);
    }
    let body = body.text.clone();
    let delay_seconds = number(message, "DelaySeconds", 0, 604_800)?;
    let priority = number(message, "Priority", 1, 16)?.and_then(|priority| u8::try_from(priority).ok());
    let properties =
        ["UserProperties", "SystemProperties"].into_iter().filter_map(|name| message.child(name));
    let properties = properties.map(checked_properties).collect::<Result<_, _>>()?;
    Ok(Draft { body, delay_seconds, priority, properties })
}

fn number(message: &Element, name: &str, from: u32, to: u32) -> Result<Option<u32>, Refusal> {
    message.child(name).map(|element| number_in(element, &(from..=to))).transpose()
}

/// Properties are kept as they are, less the blanks between elements.
fn checked_properties(list: &Element) -> Result<Element, Refusal> {
    let wrong = |what: &str| Err(Refusal::invalid_argument(format!("{}: {what}", list.name)));
    if list.children.len() > 50 {
        return wrong("there should be at most 50 properties.");
    }
    let mut names = Vec::new();
    let mut kept = list.clone();
    kept.text.clear();
    for property in &mut kept.children {
        property.text.clear();
        let text = |name| property.child(name).map(|element| element.text.as_str());
        let (Some(name), Some(value)) = (text("Name"), text("Value")) else {
            return wrong("a property should have Name, Value and Type.");
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(1..=256).contains(&name.len())
            || !name.bytes().all(fits)
            || name.starts_with('.')
            || name.ends_with('.')
        {
            return wrong("the name of a property is not valid.");
        }
        if value.chars().count() > 4096 {
            return wrong("the value of a property should have at most 4096 characters.");
        }
        if !text("Type").is_some_and(|kind| ["STRING", "NUMBER", "BOOLEAN", "BINARY"].contains(&kind)) {
            return wrong("the type of a property should be STRING, NUMBER, BOOLEAN or BINARY.");
        }
        if names.contains(&name.to_owned()) {
            return wrong("the names of properties should differ.");
        }
        names.push(name.to_owned());
    }
    Ok(kept)
}
