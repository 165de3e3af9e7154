//! The properties that are read, by name (MS-OXPROPS), and the units of their values.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::elements::Guid;

/// A property that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prop {
    /// By its number (MS-OXPROPS).
    Tag(u16),
    /// By property set and number.
    Id(Guid, u32),
    /// By property set and name.
    Name(Guid, &'static str),
}

/// A property set of Outlook's own: `000620xx-0000-0000-C000-000000000046`.
const fn outlook(low: u8) -> Guid {
    [low, 0x20, 0x06, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46]
}

pub const PSETID_APPOINTMENT: Guid = outlook(0x02);
pub const PSETID_TASK: Guid = outlook(0x03);
pub const PSETID_ADDRESS: Guid = outlook(0x04);
pub const PSETID_COMMON: Guid = outlook(0x08);
pub const PSETID_LOG: Guid = outlook(0x0A);
/// `6ED8DA90-450B-101B-98DA-00AA003F1305`
pub const PSETID_MEETING: Guid = [
    0x90, 0xDA, 0xD8, 0x6E, 0x0B, 0x45, 0x1B, 0x10, 0x98, 0xDA, 0x00, 0xAA, 0x00, 0x3F, 0x13, 0x05,
];
/// `00020329-0000-0000-C000-000000000046`
pub const PS_PUBLIC_STRINGS: Guid = [
    0x29, 0x03, 0x02, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46,
];
/// `00020386-0000-0000-C000-000000000046`: names are header names.
pub const PS_INTERNET_HEADERS: Guid = [
    0x86, 0x03, 0x02, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46,
];

macro_rules! tags {
    ($($name:ident = $tag:literal;)*) => {
        $(
            #[doc = concat!("Property ", stringify!($tag), ", by MS-OXPROPS' name.")]
            pub const $name: Prop = Prop::Tag($tag);
        )*
    };
}

macro_rules! ids {
    ($set:ident: $($name:ident = $id:literal;)*) => { $(pub const $name: Prop = Prop::Id($set, $id);)* };
}

tags! {
    IMPORTANCE = 0x0017;
    MESSAGE_CLASS = 0x001A;
    READ_RECEIPT_REQUESTED = 0x0029;
    DELIVERY_REPORT_REQUESTED = 0x0023;
    SENSITIVITY = 0x0036;
    SUBJECT = 0x0037;
    CLIENT_SUBMIT_TIME = 0x0039;
    SUBJECT_PREFIX = 0x003D;
    FROM_NAME = 0x0042;
    REPLY_TO_ENTRIES = 0x004F;
    FROM_TYPE = 0x0064;
    FROM_ADDRESS = 0x0065;
    CONVERSATION_INDEX = 0x0071;
    TRANSPORT_HEADERS = 0x007D;
    SENDER_NAME = 0x0C1A;
    SENDER_TYPE = 0x0C1E;
    SENDER_ADDRESS = 0x0C1F;
    NON_RECEIPT_REQUESTED = 0x0C06;
    RECIPIENT_TYPE = 0x0C15;
    DELIVERY_TIME = 0x0E06;
    MESSAGE_FLAGS = 0x0E07;
    NORMALIZED_SUBJECT = 0x0E1D;
    BODY = 0x1000;
    RTF = 0x1009;
    HTML = 0x1013;
    INTERNET_MESSAGE_ID = 0x1035;
    REFERENCES = 0x1039;
    IN_REPLY_TO = 0x1042;
    FLAG_STATUS = 0x1090;
    FLAG_COMPLETE_TIME = 0x1091;
    FOLLOWUP_ICON = 0x1095;
    DISPLAY_NAME = 0x3001;
    ADDRESS_TYPE = 0x3002;
    EMAIL_ADDRESS = 0x3003;
    CREATION_TIME = 0x3007;
    LAST_MODIFICATION_TIME = 0x3008;
    ATTACH_DATA = 0x3701;
    ATTACH_SHORT_NAME = 0x3704;
    ATTACH_METHOD = 0x3705;
    ATTACH_LONG_NAME = 0x3707;
    ATTACH_LONG_PATH = 0x370D;
    ATTACH_MIME_TYPE = 0x370E;
    ATTACH_CONTENT_ID = 0x3712;
    ATTACH_FLAGS = 0x3714;
    ATTACH_EXCEPTION_FLAGS = 0x7FFD;
    ATTACH_HIDDEN = 0x7FFE;
    ATTACH_CONTACT_PHOTO = 0x7FFF;
    GENERATION = 0x3A05;
    GIVEN_NAME = 0x3A06;
    BUSINESS_PHONE = 0x3A08;
    HOME_PHONE = 0x3A09;
    INITIALS = 0x3A0A;
    SURNAME = 0x3A11;
    COMPANY_NAME = 0x3A16;
    JOB_TITLE = 0x3A17;
    DEPARTMENT = 0x3A18;
    OFFICE_LOCATION = 0x3A19;
    BUSINESS_PHONE_2 = 0x3A1B;
    MOBILE_PHONE = 0x3A1C;
    HOME_PHONE_2 = 0x3A2F;
    ASSISTANT = 0x3A30;
    BIRTHDAY = 0x3A42;
    MIDDLE_NAME = 0x3A44;
    NAME_TITLE = 0x3A45;
    PROFESSION = 0x3A46;
    SPOUSE = 0x3A48;
    MANAGER = 0x3A4E;
    NICKNAME = 0x3A4F;
    BUSINESS_HOME_PAGE = 0x3A51;
    CHILDREN = 0x3A58;
    HOME_CITY = 0x3A59;
    HOME_COUNTRY = 0x3A5A;
    HOME_POSTAL_CODE = 0x3A5B;
    HOME_STATE = 0x3A5C;
    HOME_STREET = 0x3A5D;
    OTHER_CITY = 0x3A5F;
    OTHER_COUNTRY = 0x3A60;
    OTHER_POSTAL_CODE = 0x3A61;
    OTHER_STATE = 0x3A62;
    OTHER_STREET = 0x3A63;
    SMTP_ADDRESS = 0x39FE;
    INTERNET_CODE_PAGE = 0x3FDE;
    SENDER_SMTP = 0x5D01;
    FROM_SMTP = 0x5D02;
    RECIPIENT_FLAGS = 0x5FFD;
    RECIPIENT_TRACK_STATUS = 0x5FFF;
    RECIPIENT_TRACK_TIME = 0x5FFB;
}

ids! {
    PSETID_APPOINTMENT:
    BUSY_STATUS = 0x8205;
    LOCATION = 0x8208;
    START_WHOLE = 0x820D;
    END_WHOLE = 0x820E;
    ALL_DAY = 0x8215;
    RECURRENCE = 0x8216;
    STATE = 0x8217;
    RESPONSE = 0x8218;
    EXCEPTION_REPLACE_TIME = 0x8228;
    ZONE_START = 0x825E;
    ZONE_END = 0x825F;
    ZONE_RECUR = 0x8260;
}

ids! {
    PSETID_MEETING:
    GLOBAL_OBJECT_ID = 0x0003;
    CLEAN_GLOBAL_OBJECT_ID = 0x0023;
}

ids! {
    PSETID_COMMON:
    REMINDER_MINUTES = 0x8501;
    REMINDER_TIME = 0x8502;
    REMINDER_SET = 0x8503;
    COMPANIES = 0x8539;
}

ids! {
    PSETID_TASK:
    TASK_STATUS = 0x8101;
    TASK_START = 0x8104;
    TASK_DUE = 0x8105;
    TASK_COMPLETED = 0x810F;
    TASK_RECURRENCE = 0x8116;
    TASK_COMPLETE = 0x811C;
}

ids! {
    PSETID_ADDRESS:
    FILE_AS = 0x8005;
    BIRTHDAY_LOCAL = 0x80DE;
    YOMI_GIVEN = 0x802C;
    YOMI_SURNAME = 0x802D;
    YOMI_COMPANY = 0x802E;
    WORK_STREET = 0x8045;
    WORK_CITY = 0x8046;
    WORK_STATE = 0x8047;
    WORK_POSTAL_CODE = 0x8048;
    WORK_COUNTRY = 0x8049;
    DL_MEMBERS = 0x8055;
    DL_ONE_OFF_MEMBERS = 0x8054;
    IM_ADDRESS = 0x8062;
}

ids! {
    PSETID_LOG:
    LOG_TYPE = 0x8700;
    LOG_START = 0x8706;
    LOG_DURATION = 0x8707;
    LOG_END = 0x8708;
}

/// Categories.
pub const KEYWORDS: Prop = Prop::Name(PS_PUBLIC_STRINGS, "Keywords");

/// Display name, type, address and original display name of the `n`th e-mail address (0 to 2).
pub fn email(n: u32) -> [Prop; 4] {
    let base = 0x8080 + 0x10 * n;
    [base, base + 2, base + 3, base + 4].map(|id| Prop::Id(PSETID_ADDRESS, id))
}

/// Seconds from 1601 to 1970.
const EPOCH: i64 = 11_644_473_600;
/// Outlook's "no date" is 4501-01-01.
const NEVER: i64 = 79_870_665_600;

/// Unix seconds of a FILETIME, if it means anything.
pub fn unix(filetime: u64) -> Option<i64> {
    let seconds = i64::try_from(filetime / 10_000_000).ok()? - EPOCH;
    (filetime != 0 && seconds < NEVER).then_some(seconds)
}

/// The FILETIME of Unix seconds.
pub fn filetime(unix: i64) -> u64 {
    u64::try_from(unix.saturating_add(EPOCH))
        .unwrap_or_default()
        .saturating_mul(10_000_000)
}

/// As Graph writes times of messages: `2026-03-01T09:00:05Z`.
pub fn graph_time(unix: i64) -> Option<String> {
    let time = Timestamp::from_second(unix).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// As Graph writes times of events, without a zone: `2026-03-02T09:00:00.0000000`.
pub fn graph_local(unix: i64) -> Option<String> {
    let time = Timestamp::from_second(unix).ok()?.to_zoned(TimeZone::UTC);
    Some(time.strftime("%Y-%m-%dT%H:%M:%S.0000000").to_string())
}

/// `2026-03-02` of Unix seconds.
pub fn graph_day(unix: i64) -> Option<String> {
    let time = Timestamp::from_second(unix).ok()?.to_zoned(TimeZone::UTC);
    Some(time.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(unix(134_168_292_000_000_000), Some(1_772_355_600));
        assert_eq!(filetime(1_772_355_600), 134_168_292_000_000_000);
        assert_eq!(graph_time(1_772_355_600).unwrap(), "2026-03-01T09:00:00Z");
        assert_eq!(
            graph_local(1_772_355_600).unwrap(),
            "2026-03-01T09:00:00.0000000"
        );
        // 4501-01-01
        assert_eq!(unix(0x0CB3_4557_A3DD_4000), None);
        assert_eq!(unix(0), None);
        assert_eq!(unix(u64::MAX), None);
    }
}
