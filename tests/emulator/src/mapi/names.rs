//! Names of properties: tags (MS-OXPROPS), and numbers in property sets.

use std::sync::LazyLock;

use crate::fasttransfer::{Guid, Name, guid};

macro_rules! sets {
    ($($name:ident = $text:literal;)*) => {
        $(pub static $name: LazyLock<Guid> = LazyLock::new(|| guid($text));)*
    };
}

sets! {
    APPOINTMENT = "00062002-0000-0000-C000-000000000046";
    MEETING = "6ED8DA90-450B-101B-98DA-00AA003F1305";
    COMMON = "00062008-0000-0000-C000-000000000046";
    ADDRESS = "00062004-0000-0000-C000-000000000046";
    TASK = "00062003-0000-0000-C000-000000000046";
    NOTE = "0006200E-0000-0000-C000-000000000046";
    PUBLIC_STRINGS = "00020329-0000-0000-C000-000000000046";
    INTERNET_HEADERS = "00020386-0000-0000-C000-000000000046";
    INFERENCE = "23239608-685D-4732-9C55-4C95CB4E8E33";
}

pub const IMPORTANCE: u16 = 0x0017;
pub const MESSAGE_CLASS: u16 = 0x001A;
pub const DELIVERY_REPORT_REQUESTED: u16 = 0x0023;
pub const PRIORITY: u16 = 0x0026;
pub const READ_RECEIPT_REQUESTED: u16 = 0x0029;
pub const SENSITIVITY: u16 = 0x0036;
pub const SUBJECT: u16 = 0x0037;
pub const CLIENT_SUBMIT_TIME: u16 = 0x0039;
pub const SUBJECT_PREFIX: u16 = 0x003D;
pub const SENT_REPRESENTING_ENTRY_ID: u16 = 0x0041;
pub const SENT_REPRESENTING_NAME: u16 = 0x0042;
pub const REPLY_RECIPIENT_ENTRIES: u16 = 0x004F;
pub const REPLY_RECIPIENT_NAMES: u16 = 0x0050;
pub const SENT_REPRESENTING_ADDRESS_TYPE: u16 = 0x0064;
pub const SENT_REPRESENTING_ADDRESS: u16 = 0x0065;
pub const CONVERSATION_TOPIC: u16 = 0x0070;
pub const CONVERSATION_INDEX: u16 = 0x0071;
pub const TRANSPORT_HEADERS: u16 = 0x007D;
pub const RECIPIENT_TYPE: u16 = 0x0C15;
pub const SENDER_ENTRY_ID: u16 = 0x0C19;
pub const SENDER_NAME: u16 = 0x0C1A;
pub const SENDER_ADDRESS_TYPE: u16 = 0x0C1E;
pub const SENDER_ADDRESS: u16 = 0x0C1F;
pub const DISPLAY_BCC: u16 = 0x0E02;
pub const DISPLAY_CC: u16 = 0x0E03;
pub const DISPLAY_TO: u16 = 0x0E04;
pub const DELIVERY_TIME: u16 = 0x0E06;
pub const MESSAGE_FLAGS: u16 = 0x0E07;
pub const MESSAGE_SIZE: u16 = 0x0E08;
pub const HAS_ATTACHMENTS: u16 = 0x0E1B;
pub const NORMALIZED_SUBJECT: u16 = 0x0E1D;
pub const ATTACH_NUMBER: u16 = 0x0E21;
pub const BODY: u16 = 0x1000;
pub const RTF_COMPRESSED: u16 = 0x1009;
pub const HTML: u16 = 0x1013;
pub const NATIVE_BODY: u16 = 0x1016;
pub const MESSAGE_ID: u16 = 0x1035;
pub const REFERENCES: u16 = 0x1039;
pub const IN_REPLY_TO: u16 = 0x1042;
pub const FLAG_STATUS: u16 = 0x1090;
pub const FLAG_COMPLETE_TIME: u16 = 0x1091;
pub const ROW_ID: u16 = 0x3000;
pub const DISPLAY_NAME: u16 = 0x3001;
pub const ADDRESS_TYPE: u16 = 0x3002;
pub const EMAIL_ADDRESS: u16 = 0x3003;
pub const CREATION_TIME: u16 = 0x3007;
pub const LAST_MODIFICATION_TIME: u16 = 0x3008;
pub const SEARCH_KEY: u16 = 0x300B;
pub const ATTACH_DATA: u16 = 0x3701;
pub const ATTACH_EXTENSION: u16 = 0x3703;
pub const ATTACH_FILENAME: u16 = 0x3704;
pub const ATTACH_METHOD: u16 = 0x3705;
pub const ATTACH_LONG_FILENAME: u16 = 0x3707;
pub const RENDERING_POSITION: u16 = 0x370B;
pub const ATTACH_MIME_TAG: u16 = 0x370E;
pub const ATTACH_CONTENT_ID: u16 = 0x3712;
pub const ATTACH_CONTENT_LOCATION: u16 = 0x3713;
pub const ATTACH_FLAGS: u16 = 0x3714;
pub const SMTP_ADDRESS: u16 = 0x39FE;
pub const INTERNET_CODE_PAGE: u16 = 0x3FDE;
pub const SENDER_SMTP: u16 = 0x5D01;
pub const SENT_REPRESENTING_SMTP: u16 = 0x5D02;
pub const RECIPIENT_DISPLAY_NAME: u16 = 0x5FF6;
pub const RECIPIENT_TRACK_TIME: u16 = 0x5FFB;
pub const RECIPIENT_FLAGS: u16 = 0x5FFD;
pub const RECIPIENT_TRACK_STATUS: u16 = 0x5FFF;
pub const SOURCE_KEY: u16 = 0x65E0;
pub const CHANGE_KEY: u16 = 0x65E2;
pub const PREDECESSORS: u16 = 0x65E3;
pub const EXCEPTION_START: u16 = 0x7FFB;
pub const EXCEPTION_END: u16 = 0x7FFC;
pub const ATTACHMENT_FLAGS: u16 = 0x7FFD;
pub const ATTACHMENT_HIDDEN: u16 = 0x7FFE;

pub fn appointment(lid: u32) -> Name {
    Name::Lid(*APPOINTMENT, lid)
}

pub fn meeting(lid: u32) -> Name {
    Name::Lid(*MEETING, lid)
}

pub fn common(lid: u32) -> Name {
    Name::Lid(*COMMON, lid)
}

pub fn address(lid: u32) -> Name {
    Name::Lid(*ADDRESS, lid)
}

pub fn task(lid: u32) -> Name {
    Name::Lid(*TASK, lid)
}

pub fn note(lid: u32) -> Name {
    Name::Lid(*NOTE, lid)
}

/// Categories.
pub fn keywords() -> Name {
    Name::Text(*PUBLIC_STRINGS, "Keywords".to_owned())
}

/// A header of the message, by its name.
pub fn header(name: &str) -> Name {
    Name::Text(*INTERNET_HEADERS, name.to_owned())
}

/// Focused (0) or other (1): a name the service keeps to itself, so only what is written here is
/// sure to be read.
pub fn inference() -> Name {
    Name::Text(*INFERENCE, "InferenceClassificationResult".to_owned())
}
