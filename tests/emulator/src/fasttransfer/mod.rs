//! The stream of `exportItems` and `importItem`: one item with everything in it (MS-OXCFXICS
//! FastTransfer, in the frames that Exchange's export puts around it).
//!
//! - [`frames`]: the outer frames;
//! - [`write`], [`read`]: properties and markers inside them;
//! - [`rtf`]: compressed RTF, one kind of body.
//!
//! Nothing here knows what a property means; that is [`crate::mapi`]'s.

pub mod frames;
pub mod read;
pub mod rtf;
pub mod write;

/// A property set or class id, in the byte order of the wire.
pub type Guid = [u8; 16];

/// What a property is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// Below 0x8000.
    Tag(u16),
    /// A number in a property set.
    Lid(Guid, u32),
    /// A string in a property set.
    Text(Guid, String),
}

/// A property's value; its variant is its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    I16(i16),
    I32(i32),
    I64(i64),
    F32(f32),
    F64(f64),
    Currency(i64),
    /// Days since 1899-12-30.
    AppTime(f64),
    Error(u32),
    Bool(bool),
    /// 100 ns since 1601-01-01 UTC.
    Time(i64),
    Guid(Guid),
    Text(String),
    Binary(Vec<u8>),
    Object(Vec<u8>),
    ServerId(Vec<u8>),
    /// Several values of the type with this number.
    Many(u16, Vec<Value>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    pub name: Name,
    pub value: Value,
}

/// A list of properties, as an item, a recipient and an attachment have one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Properties(pub Vec<Property>);

/// What is between the frames: the content of a message, in MAPI's sense of the word.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MessageContent {
    pub props: Properties,
    pub recipients: Vec<Properties>,
    pub attachments: Vec<Attached>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attached {
    pub props: Properties,
    pub embedded: Option<Box<MessageContent>>,
}

/// Types of values, by their number on the wire.
pub mod kind {
    pub const I16: u16 = 0x0002;
    pub const I32: u16 = 0x0003;
    pub const F32: u16 = 0x0004;
    pub const F64: u16 = 0x0005;
    pub const CURRENCY: u16 = 0x0006;
    pub const APP_TIME: u16 = 0x0007;
    pub const ERROR: u16 = 0x000A;
    pub const BOOL: u16 = 0x000B;
    pub const OBJECT: u16 = 0x000D;
    pub const I64: u16 = 0x0014;
    pub const STRING8: u16 = 0x001E;
    pub const UNICODE: u16 = 0x001F;
    pub const TIME: u16 = 0x0040;
    pub const GUID: u16 = 0x0048;
    pub const SERVER_ID: u16 = 0x00FB;
    pub const BINARY: u16 = 0x0102;
    /// Set in the type of a property with several values.
    pub const MANY: u16 = 0x1000;
    /// Set in the type of a string whose code page is in the other bits.
    pub const CODE_PAGE: u16 = 0x8000;
    /// A string in code page 1200, UTF-16LE: what Exchange Online writes.
    pub const UTF16: u16 = CODE_PAGE | 1200;
}

/// Elements of the stream that are no properties.
pub mod marker {
    pub const NEW_ATTACH: u32 = 0x4000_0003;
    pub const START_EMBED: u32 = 0x4001_0003;
    pub const END_EMBED: u32 = 0x4002_0003;
    pub const START_RECIP: u32 = 0x4003_0003;
    pub const END_TO_RECIP: u32 = 0x4004_0003;
    pub const START_MESSAGE: u32 = 0x400C_0003;
    pub const END_MESSAGE: u32 = 0x400D_0003;
    pub const END_ATTACH: u32 = 0x400E_0003;
    /// With a value: a warning, passed over.
    pub const EC_WARNING: u32 = 0x400F_0003;
    /// With a value: the property (recipients, attachments) to empty before what follows.
    pub const FX_DEL_PROP: u32 = 0x4016_0003;
    /// Id of a string to be passed over.
    pub const DN_PREFIX: u16 = 0x4008;
    /// Every marker has its id in this range.
    pub const IDS: std::ops::RangeInclusive<u16> = 0x4000..=0x4018;
}

impl Properties {
    pub fn get(&self, name: &Name) -> Option<&Value> {
        self.0.iter().find(|p| p.name == *name).map(|p| &p.value)
    }

    pub fn tag(&self, tag: u16) -> Option<&Value> {
        self.get(&Name::Tag(tag))
    }

    /// Adds or replaces.
    pub fn set(&mut self, name: Name, value: Value) {
        match self.0.iter_mut().find(|p| p.name == name) {
            Some(property) => property.value = value,
            None => self.0.push(Property { name, value }),
        }
    }

    pub fn set_tag(&mut self, tag: u16, value: Value) {
        self.set(Name::Tag(tag), value);
    }

    pub fn text(&self, tag: u16) -> Option<&str> {
        self.tag(tag).and_then(Value::as_text)
    }

    pub fn int(&self, tag: u16) -> Option<i32> {
        self.tag(tag).and_then(Value::as_int)
    }
}

impl Value {
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i32> {
        match self {
            Value::I32(n) => Some(*n),
            Value::I16(n) => Some(i32::from(*n)),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn as_time(&self) -> Option<i64> {
        match self {
            Value::Time(t) => Some(*t),
            _ => None,
        }
    }

    pub fn as_binary(&self) -> Option<&[u8]> {
        match self {
            Value::Binary(bytes) | Value::Object(bytes) | Value::ServerId(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of this value's type.
    pub fn kind(&self) -> u16 {
        match self {
            Value::I16(_) => kind::I16,
            Value::I32(_) => kind::I32,
            Value::I64(_) => kind::I64,
            Value::F32(_) => kind::F32,
            Value::F64(_) => kind::F64,
            Value::Currency(_) => kind::CURRENCY,
            Value::AppTime(_) => kind::APP_TIME,
            Value::Error(_) => kind::ERROR,
            Value::Bool(_) => kind::BOOL,
            Value::Time(_) => kind::TIME,
            Value::Guid(_) => kind::GUID,
            Value::Text(_) => kind::UNICODE,
            Value::Binary(_) => kind::BINARY,
            Value::Object(_) => kind::OBJECT,
            Value::ServerId(_) => kind::SERVER_ID,
            Value::Many(kind, _) => kind | self::kind::MANY,
        }
    }
}

/// A class id as it is written, in the byte order of the wire.
pub fn guid(text: &str) -> Guid {
    uuid::Uuid::parse_str(text)
        .unwrap_or_default()
        .to_bytes_le()
}
