//! Generated address books: folders, and contact number `no` of a book.
//!
//! Every property of the model is used by some contact; names are of many scripts, some with their
//! reading; one in eight has a photo, a few have numbers that only MAPI properties can hold.

use bytes::Bytes;
use serde_json::{Value, json};

use super::words::{paragraph, sentence, words};
use super::{ANCHOR, photo};
use crate::clock::rfc3339;
use crate::contacts::{Book, DEFAULT, Detail, Photo};
use crate::mail::ids::No;
use crate::mail::properties::PropertyValue;
use crate::odata::Object;
use crate::rng::Rng;

/// Given name, surname, and their reading where the script needs one.
const NAMES: &[(&str, &str, Option<(&str, &str)>)] = &[
    ("Anna", "Lindqvist", None),
    ("Jürgen", "Groß", None),
    ("Siobhán", "O'Connor", None),
    ("Zoë", "van der Berg", None),
    ("Łukasz", "Żółkiewski", None),
    ("Nguyễn", "Thị Hương", None),
    ("Ekaterina", "Smirnova", None),
    ("Владимир", "Кузнецов", None),
    ("Ελένη", "Παπαδοπούλου", None),
    ("太郎", "山田", Some(("タロウ", "ヤマダ"))),
    ("花子", "佐藤", Some(("ハナコ", "サトウ"))),
    ("민준", "김", Some(("Minjun", "Kim"))),
    ("伟", "王", Some(("Wěi", "Wáng"))),
    ("محمد", "الخطيب", None),
    ("נועה", "כהן", None),
    ("प्रिया", "शर्मा", None),
    ("José María", "García-Hernández", None),
    ("Ana", "da Silva e Souza", None),
    ("Björk", "Guðmundsdóttir", None),
    ("Tom/Tim", "Slash: \"Quote\"", None),
    ("Jane", "Roe", None),
    ("John", "Doe", None),
    ("Mary-Ann", "Smith", None),
    ("Ove", "Ek", None),
];
const COMPANIES: &[(&str, Option<&str>)] = &[
    ("Fabrikam, Inc.", None),
    ("Northwind Traders", None),
    ("Adatum GmbH & Co. KG", None),
    ("ООО «Ромашка»", None),
    ("株式会社富士", Some("フジ")),
    ("Tailspin Toys", None),
    ("Blå Øl A/S", None),
];
const DOMAINS: &[&str] = &[
    "fabrikam.com",
    "northwind.test",
    "adatum.test",
    "tailspin.test",
    "example.org",
];
const CITIES: &[(&str, &str, &str, &str)] = &[
    ("Stockholm", "", "111 20", "Sweden"),
    ("København", "Hovedstaden", "1050", "Denmark"),
    ("Zürich", "ZH", "8001", "Schweiz"),
    ("東京", "東京都", "100-0001", "日本"),
    ("São Paulo", "SP", "01310-100", "Brasil"),
    ("Redmond", "WA", "98052", "United States of America"),
    ("Москва", "", "101000", "Россия"),
];
const JOBS: &[&str] = &[
    "CFO",
    "Buyer",
    "Head of Logistics",
    "Geschäftsführer",
    "Accountant",
    "Développeuse",
];

/// Where generated contacts go: folder numbers with their weight in a hundred.
pub struct Layout(Vec<(No, u64)>);

/// Makes the folders a generated book has besides the system's.
pub fn layout(book: &mut Book) -> Layout {
    let customers = book.add_folder("Customers", DEFAULT);
    let nordics = book.add_folder("Nordics", customers);
    let east = book.add_folder("Århus/Øst", nordics);
    let family = book.add_folder("Family & friends", DEFAULT);
    let suppliers = book.add_folder("取引先", DEFAULT);
    Layout(vec![
        (DEFAULT, 58),
        (customers, 14),
        (nordics, 8),
        (east, 5),
        (family, 8),
        (suppliers, 7),
    ])
}

/// Folder of contact `no`.
pub fn place(book_seed: u64, layout: &Layout, no: No) -> No {
    let mut draw = Rng::at(book_seed ^ 0x0f01_de25, u64::from(no)).below(100);
    for (folder, weight) in &layout.0 {
        if draw < *weight {
            return *folder;
        }
        draw -= weight;
    }
    DEFAULT
}

/// Everything of contact `no`.
pub fn detail(book: &Book, no: No) -> Detail {
    let mut rng = Rng::at(book.seed, u64::from(no));
    let mut props = Object::new();
    person(&mut rng, no, &mut props);
    work(&mut rng, &mut props);
    reach(&mut rng, no, &mut props);
    private(&mut rng, &mut props);
    let created = ANCHOR - rng.below(5 * 365 * 86_400) as i64;
    let modified = created + rng.below((ANCHOR - created) as u64 / 2 + 1) as i64;
    let mut detail = Detail {
        props,
        created,
        modified,
        ..Detail::default()
    };
    if rng.chance(12) {
        let side = if rng.chance(50) { 96 } else { 240 };
        detail.photo = Some(Photo {
            bytes: Bytes::from(photo::jpeg(rng.next(), side, side)),
            content_type: "image/jpeg".into(),
        });
    }
    // Numbers that the model has no place for: business fax, home fax, pager, car.
    for tag in ["0x3a24", "0x3a25", "0x3a21", "0x3a1e"] {
        if rng.chance(4) {
            let value = PropertyValue::Single(phone(&mut rng));
            detail.extended.insert(format!("String {tag}"), value);
        }
    }
    detail
}

fn set(props: &mut Object, name: &str, value: impl Into<Value>) {
    props.insert(name.to_owned(), value.into());
}

fn person(rng: &mut Rng, no: No, props: &mut Object) {
    // A firm without a person, now and then.
    if rng.chance(3) {
        let (company, reading) = COMPANIES[rng.below(COMPANIES.len() as u64) as usize];
        set(props, "companyName", company);
        set(props, "displayName", company);
        set(props, "fileAs", company);
        if let Some(reading) = reading {
            set(props, "yomiCompanyName", reading);
        }
        return;
    }
    let (given, surname, reading) = NAMES[rng.below(NAMES.len() as u64) as usize];
    set(props, "givenName", given);
    set(props, "surname", surname);
    if let Some((given, surname)) = reading {
        set(props, "yomiGivenName", given);
        set(props, "yomiSurname", surname);
    }
    let middle = ["Maria", "J.", "von"][rng.below(3) as usize];
    let middle = rng.chance(15).then_some(middle);
    let display = match middle {
        Some(middle) => format!("{given} {middle} {surname}"),
        None => format!("{given} {surname}"),
    };
    // People of the same name are many; some are told apart by their number.
    let display = match rng.chance(30) {
        true => format!("{display} ({no})"),
        false => display,
    };
    set(props, "displayName", display);
    let file_as = match rng.below(10) {
        0 => format!("{given} {surname}"),
        _ => format!("{surname}, {given}"),
    };
    set(props, "fileAs", file_as);
    if let Some(middle) = middle {
        set(props, "middleName", middle);
    }
    let first = |text: &str| text.chars().next().unwrap_or('X');
    if rng.chance(40) {
        let initials = format!("{}.{}.", first(given), first(surname));
        set(props, "initials", initials);
    }
    if rng.chance(10) {
        set(
            props,
            "title",
            ["Dr.", "Prof.", "Ms."][rng.below(3) as usize],
        );
    }
    if rng.chance(4) {
        set(props, "generation", ["Jr.", "III"][rng.below(2) as usize]);
    }
    if rng.chance(12) {
        set(props, "nickName", words(rng, 1));
    }
}

fn work(rng: &mut Rng, props: &mut Object) {
    if rng.chance(65) && !props.contains_key("companyName") {
        let (company, reading) = COMPANIES[rng.below(COMPANIES.len() as u64) as usize];
        set(props, "companyName", company);
        if let Some(reading) = reading {
            set(props, "yomiCompanyName", reading);
        }
        set(props, "jobTitle", rng.pick(JOBS));
    }
    for (name, percent) in [
        ("department", 35),
        ("officeLocation", 20),
        ("profession", 12),
    ] {
        if rng.chance(percent) {
            set(props, name, words(rng, 2));
        }
    }
    for (name, percent) in [("assistantName", 6), ("manager", 8)] {
        if rng.chance(percent) {
            let (given, surname, _) = NAMES[rng.below(NAMES.len() as u64) as usize];
            set(props, name, format!("{given} {surname}"));
        }
    }
    if rng.chance(20) {
        let page = format!(
            "https://www.{}/people?id={}",
            rng.pick(DOMAINS),
            rng.below(999)
        );
        set(props, "businessHomePage", page);
    }
}

fn reach(rng: &mut Rng, no: No, props: &mut Object) {
    let name = props.get("displayName").cloned().unwrap_or_default();
    let emails: Vec<Value> = (0..[1, 1, 1, 2, 3, 0][rng.below(6) as usize])
        .map(|n| {
            let address = format!("contact{no}.{n}@{}", rng.pick(DOMAINS));
            let label = if n == 0 { name.clone() } else { json!(address) };
            json!({"name": label, "address": address})
        })
        .collect();
    if !emails.is_empty() {
        set(props, "emailAddresses", emails);
    }
    if rng.chance(75) {
        set(props, "mobilePhone", phone(rng));
    }
    for (list, percent) in [("businessPhones", 60), ("homePhones", 30)] {
        if rng.chance(percent) {
            let count = if rng.chance(20) { 2 } else { 1 };
            let all: Vec<Value> = (0..count).map(|_| json!(phone(rng))).collect();
            set(props, list, all);
        }
    }
    if rng.chance(15) {
        let im = format!("sip:contact{no}@{}", rng.pick(DOMAINS));
        set(props, "imAddresses", vec![json!(im)]);
    }
    for (name, percent) in [
        ("businessAddress", 45),
        ("homeAddress", 25),
        ("otherAddress", 6),
    ] {
        if rng.chance(percent) {
            set(props, name, address(rng));
        }
    }
}

fn private(rng: &mut Rng, props: &mut Object) {
    if rng.chance(30) {
        // Midnight, or a minute to noon as Outlook writes it.
        let day = rng.below(80 * 365) as i64 - 30 * 365;
        let time = if rng.chance(50) {
            0
        } else {
            11 * 3600 + 59 * 60
        };
        set(props, "birthday", rfc3339(day * 86_400 + time));
    }
    if rng.chance(8) {
        set(props, "spouseName", NAMES[rng.below(8) as usize].0);
    }
    if rng.chance(8) {
        let count = rng.range(1, 3);
        let names = (0..count).map(|n| json!(NAMES[n as usize].0));
        set(props, "children", names.collect::<Vec<_>>());
    }
    if rng.chance(35) {
        let note = match rng.below(4) {
            0 => format!("{}\r\n\r\n{}", sentence(rng), paragraph(rng)),
            _ => sentence(rng),
        };
        set(props, "personalNotes", note);
    }
    match rng.below(20) {
        0 => set(props, "categories", vec![json!("Red category")]),
        1 => set(
            props,
            "categories",
            vec![json!("Blue category"), json!("Kunden – wichtig")],
        ),
        _ => {}
    }
}

fn phone(rng: &mut Rng) -> String {
    match rng.below(3) {
        0 => format!(
            "+46 70 {:03} {:02} {:02}",
            rng.below(1000),
            rng.below(100),
            rng.below(100)
        ),
        1 => format!(
            "+1 ({:03}) 555-{:04}",
            rng.range(201, 989),
            rng.below(10_000)
        ),
        _ => format!(
            "0{} {} ext. {}",
            rng.range(20, 99),
            rng.range(100_000, 999_999),
            rng.below(99)
        ),
    }
}

fn address(rng: &mut Rng) -> Value {
    let (city, state, code, country) = CITIES[rng.below(CITIES.len() as u64) as usize];
    let street = match rng.below(3) {
        0 => format!("{} 8\r\n3. sal", words(rng, 1)),
        _ => format!("{} {}", words(rng, 1), rng.below(200)),
    };
    let mut out = Object::new();
    for (name, value) in [
        ("street", street.as_str()),
        ("city", city),
        ("state", state),
        ("postalCode", code),
        ("countryOrRegion", country),
    ] {
        if !value.is_empty() && !rng.chance(5) {
            out.insert(name.into(), json!(value));
        }
    }
    Value::Object(out)
}
