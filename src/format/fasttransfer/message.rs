//! The object model of an exported item: properties, recipients, attachments, embedded items.
//!
//! `content = property* (recipient | attachment)*`; `attachment = NewAttach property* [StartEmbed
//! content EndEmbed] EndAttach` (MS-OXCFXICS 2.2.4.2). Values stay where they are in the export.

use std::borrow::Cow;

use super::Error;
use super::elements::{Element, Elements, Key, Marker, Property, Value};
use super::properties::{Prop, unix};

/// Items within items. Exchange itself stops much earlier.
const MAX_DEPTH: usize = 24;

/// The properties of one thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties<'a>(Vec<Property<'a>>);

/// An item: a message, an appointment, a contact ...
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a> {
    /// What is known of the item itself.
    pub properties: Properties<'a>,
    /// To whom it went, or who attends.
    pub recipients: Vec<Properties<'a>>,
    /// What is attached to it.
    pub attachments: Vec<Attachment<'a>>,
}

/// An attachment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attachment<'a> {
    /// Its name, its content, how it is shown.
    pub properties: Properties<'a>,
    /// The attached item, if it is one.
    pub embedded: Option<Box<Object<'a>>>,
}

impl<'a> Properties<'a> {
    /// The value of a property; the last one if it is there twice.
    pub fn get(&self, prop: Prop) -> Option<&Value<'a>> {
        let is = |key: &Key| match (prop, key) {
            (Prop::Tag(a), Key::Tag(b)) => a == *b,
            (Prop::Id(set, a), Key::Id(its, b)) => set == *its && a == *b,
            (Prop::Name(set, a), Key::Name(its, b)) => set == *its && b.eq_ignore_ascii_case(a),
            _ => false,
        };
        let found = self.0.iter().rev().find(|p| is(&p.key));
        found.map(|property| &property.value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Property<'a>> {
        self.0.iter()
    }

    /// A text that is there and not empty.
    pub fn text(&self, prop: Prop) -> Option<String> {
        match self.get(prop)? {
            Value::Text(text) => Some(text.decode()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// A number; true counts as one.
    pub fn int(&self, prop: Prop) -> Option<i64> {
        match self.get(prop)? {
            Value::Int(number) => Some(*number),
            Value::Bool(set) => Some(i64::from(*set)),
            _ => None,
        }
    }

    /// A number with a fraction.
    pub fn float(&self, prop: Prop) -> Option<f64> {
        match self.get(prop)? {
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// True unless it is zero; `None`: it is not there.
    pub fn bool(&self, prop: Prop) -> Option<bool> {
        self.int(prop).map(|number| number != 0)
    }

    /// Unix seconds, if the time means anything.
    pub fn time(&self, prop: Prop) -> Option<i64> {
        match self.get(prop)? {
            Value::Time(time) => unix(*time),
            _ => None,
        }
    }

    /// Bytes, also of a text that should be bytes.
    pub fn binary(&self, prop: Prop) -> Option<Cow<'a, [u8]>> {
        match self.get(prop)? {
            Value::Binary(bytes) | Value::Object(bytes) => Some(bytes.bytes()),
            Value::Text(text) => Some(text.raw.bytes()),
            _ => None,
        }
    }

    /// All texts of a property of several.
    pub fn texts(&self, prop: Prop) -> Vec<String> {
        let decode = |value: &Value<'a>| match value {
            Value::Text(text) => Some(text.decode()),
            _ => None,
        };
        match self.get(prop) {
            Some(Value::Many(values)) => values.iter().filter_map(decode).collect(),
            Some(value) => decode(value).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

impl<'a> Object<'a> {
    /// Reads an export.
    ///
    /// # Errors
    /// When it is none, or is damaged anywhere.
    pub fn parse(export: &'a [u8]) -> Result<Self, Error> {
        let mut elements = Elements::new(export)?;
        content(&mut elements, 0)
    }
}

/// Everything up to the end of an item: of the stream for the outermost, else its end marker.
fn content<'a>(elements: &mut Elements<'a>, depth: usize) -> Result<Object<'a>, Error> {
    let mut object = Object::default();
    loop {
        let at = elements.position();
        match elements.read()? {
            Some(Element::Property(property)) => object.properties.0.push(property),
            Some(Element::Marker(Marker::StartRecip)) => {
                object.recipients.push(until(elements, Marker::EndToRecip)?);
            }
            Some(Element::Marker(Marker::NewAttach)) => {
                object.attachments.push(attachment(elements, depth)?);
            }
            // Some writers put the outermost item between these, Exchange does not.
            Some(Element::Marker(Marker::StartMessage | Marker::EndMessage)) if depth == 0 => {}
            Some(Element::Marker(Marker::EndEmbed)) if depth > 0 => return Ok(object),
            Some(Element::Marker(marker)) => return Err(misplaced(marker, at)),
            None if depth == 0 => return Ok(object),
            None => return Err(Error::Truncated { at }),
        }
    }
}

fn attachment<'a>(elements: &mut Elements<'a>, depth: usize) -> Result<Attachment<'a>, Error> {
    let mut attachment = Attachment::default();
    loop {
        let at = elements.position();
        match elements.read()? {
            Some(Element::Property(property)) => attachment.properties.0.push(property),
            Some(Element::Marker(Marker::StartEmbed)) if attachment.embedded.is_none() => {
                if depth + 1 >= MAX_DEPTH {
                    return Err(Error::TooDeep { at });
                }
                let embedded = content(elements, depth + 1)?;
                attachment.embedded = Some(Box::new(embedded));
            }
            Some(Element::Marker(Marker::EndAttach)) => return Ok(attachment),
            Some(Element::Marker(marker)) => return Err(misplaced(marker, at)),
            None => return Err(Error::Truncated { at }),
        }
    }
}

fn until<'a>(elements: &mut Elements<'a>, end: Marker) -> Result<Properties<'a>, Error> {
    let mut properties = Properties::default();
    loop {
        let at = elements.position();
        match elements.read()? {
            Some(Element::Property(property)) => properties.0.push(property),
            Some(Element::Marker(marker)) if marker == end => return Ok(properties),
            Some(Element::Marker(marker)) => return Err(misplaced(marker, at)),
            None => return Err(Error::Truncated { at }),
        }
    }
}

fn misplaced(marker: Marker, at: usize) -> Error {
    Error::Misplaced {
        marker: marker.number(),
        at,
    }
}
