//! Mail folders: listing, reading, making, renaming, moving, deleting.

use http::Method;
use serde_json::{Value, json};

use super::ids::No;
use super::properties::{self, PropertyValue, Wanted};
use super::store::{Folder, FolderKind, Mailbox, NOWHERE};
use super::{delta, item_not_found, messages, validate, write};
use crate::api::{ApiRequest, ApiResponse, Version};
use crate::filter::Expr;
use crate::odata::{self, Object, Select};
use crate::world::World;

pub const KNOWN: &[&str] = &[
    "id",
    "displayName",
    "parentFolderId",
    "childFolderCount",
    "unreadItemCount",
    "totalItemCount",
    "isHidden",
    "wellKnownName",
    "isSupported",
    "includeNestedFolders",
    "sourceFolderIds",
    "filterQuery",
];

/// Everything below `/users/{id}/mailFolders`.
pub fn route(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let root = mailbox.well_known("msgfolderroot");
    match rest {
        [] => children(mailbox, request, root, true),
        [id, ..] if is_delta(id) => delta::folders(world, mailbox, request),
        [id, below @ ..] => {
            let no = mailbox
                .find_folder(id)
                .ok_or_else(|| missing(mailbox, id))?;
            at(world, mailbox, request, no, below)
        }
    }
}

pub fn is_delta(segment: &str) -> bool {
    [
        "delta",
        "delta()",
        "microsoft.graph.delta",
        "microsoft.graph.delta()",
    ]
    .iter()
    .any(|d| d.eq_ignore_ascii_case(segment))
}

pub fn missing(mailbox: &Mailbox, id: &str) -> ApiResponse {
    let looks_right = id.len() > 60
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'='));
    let name = !id.is_empty() && id.len() < 40 && id.bytes().all(|b| b.is_ascii_lowercase());
    if mailbox.ids.parse_folder(id).is_some() || looks_right || name {
        item_not_found()
    } else {
        ApiResponse::error(400, "ErrorInvalidIdMalformed", "Id is malformed.")
    }
}

fn at(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    no: No,
    below: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let Some(what) = below.first() else {
        return one(world, mailbox, request, no);
    };
    match (what.to_ascii_lowercase().as_str(), &below[1..]) {
        ("childfolders", []) => children(mailbox, request, no, false),
        ("childfolders", [child, rest @ ..]) => {
            let child = mailbox
                .find_folder(child)
                .ok_or_else(|| missing(mailbox, child))?;
            at(world, mailbox, request, child, rest)
        }
        ("messages", rest) => messages::route(world, mailbox, request, Some(no), rest),
        (_, []) if request.method != Method::POST => Err(ApiResponse::no_such_segment(what)),
        ("move" | "microsoft.graph.move", []) => relocate(mailbox, request, no, false),
        ("copy" | "microsoft.graph.copy", []) => relocate(mailbox, request, no, true),
        ("permanentdelete" | "microsoft.graph.permanentdelete", []) => {
            refuse_distinguished(
                mailbox,
                no,
                "ErrorDeleteDistinguishedFolder",
                "Distinguished folders cannot be deleted.",
            )?;
            remove(mailbox, no);
            Ok(ApiResponse::no_content())
        }
        _ => Err(ApiResponse::no_such_segment(what)),
    }
}

/// A folder as Graph shows it.
pub fn show(mailbox: &Mailbox, no: No, select: &Select, wanted: &Wanted, beta: bool) -> Object {
    let folder = mailbox.folder(no);
    let mut out = Object::new();
    if folder.kind == FolderKind::Search {
        out.insert(
            "@odata.type".into(),
            json!("#microsoft.graph.mailSearchFolder"),
        );
    }
    out.insert("id".into(), json!(mailbox.ids.folder(no)));
    out.insert("displayName".into(), json!(folder.name));
    out.insert(
        "parentFolderId".into(),
        json!(mailbox.ids.folder(folder.parent)),
    );
    out.insert(
        "childFolderCount".into(),
        json!(mailbox.children(no).filter(|f| !f.hidden).count()),
    );
    out.insert("unreadItemCount".into(), json!(folder.unread));
    out.insert("totalItemCount".into(), json!(folder.count()));
    out.insert("isHidden".into(), json!(folder.hidden));
    if folder.kind == FolderKind::Search {
        out.insert("isSupported".into(), json!(true));
        out.insert("includeNestedFolders".into(), json!(true));
        out.insert(
            "sourceFolderIds".into(),
            json!([mailbox.ids.folder(mailbox.well_known("inbox"))]),
        );
        out.insert("filterQuery".into(), json!("flag/flagStatus eq 'flagged'"));
    }
    if beta {
        out.insert("wellKnownName".into(), json!(folder.well_known));
    }
    select.apply(&mut out);
    wanted.show(|id| property(folder, id), &mut out);
    out
}

pub fn property(folder: &Folder, id: &str) -> Option<PropertyValue> {
    folder.extended.get(id).cloned().or_else(|| {
        (id == "String 0x3613")
            .then_some(folder.class.as_deref()?)
            .map(|c| PropertyValue::Single(c.to_owned()))
    })
}

struct Shown<'a> {
    mailbox: &'a Mailbox,
    no: No,
}

impl crate::filter::Subject for Shown<'_> {
    fn get(&self, path: &str) -> Value {
        Value::Object(show(
            self.mailbox,
            self.no,
            &Select::default(),
            &Wanted::default(),
            true,
        ))
        .get_path(path)
    }

    fn extended(&self, id: &str) -> Option<String> {
        match property(self.mailbox.folder(self.no), &properties::normalise(id)?)? {
            PropertyValue::Single(value) => Some(value),
            PropertyValue::Multi(_) => None,
        }
    }
}

trait GetPath {
    fn get_path(&self, path: &str) -> Value;
}

impl GetPath for Value {
    fn get_path(&self, path: &str) -> Value {
        crate::filter::Subject::get(self, path)
    }
}

fn children(
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    parent: No,
    top: bool,
) -> Result<ApiResponse, ApiResponse> {
    match request.method {
        Method::GET => {}
        Method::POST => return create(mailbox, request, parent),
        _ => return Err(ApiResponse::method_not_allowed()),
    }
    let select = Select::of(request, "microsoft.graph.mailFolder", KNOWN)?;
    let wanted = Wanted::parse(request.option("expand").unwrap_or_default());
    let filter = request.option("filter").map(Expr::parse).transpose()?;
    let hidden = request
        .option("includehiddenfolders")
        .is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let all: Vec<Value> = mailbox
        .children(parent)
        .filter(|f| hidden || !f.hidden)
        .filter(|f| {
            filter
                .as_ref()
                .is_none_or(|e| e.matches(&Shown { mailbox, no: f.no }))
        })
        .map(|f| {
            Value::Object(show(
                mailbox,
                f.no,
                &select,
                &wanted,
                request.version == Version::Beta,
            ))
        })
        .collect();
    let user = &mailbox.user.id;
    let context = match top {
        true => request.context(&format!("users('{user}')/mailFolders")),
        false => request.context(&format!(
            "users('{user}')/mailFolders('{}')/childFolders",
            mailbox.ids.folder(parent)
        )),
    };
    Ok(ApiResponse::ok(odata::slice(
        request, context, all, 10, 1000,
    )?))
}

fn answer(
    mailbox: &Mailbox,
    request: &ApiRequest,
    status: u16,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    let select = Select::of(request, "microsoft.graph.mailFolder", KNOWN)?;
    let wanted = Wanted::parse(request.option("expand").unwrap_or_default());
    let mut out = show(
        mailbox,
        no,
        &select,
        &wanted,
        request.version == Version::Beta,
    );
    let context = request.context(&format!("users('{}')/mailFolders/$entity", mailbox.user.id));
    out.insert("@odata.context".into(), json!(context));
    Ok(ApiResponse::json(status, Value::Object(out)))
}

fn one(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    match request.method {
        Method::GET => answer(mailbox, request, 200, no),
        Method::PATCH => {
            let body = request.json()?;
            let Some(object) = body.as_object() else {
                return Err(bad_body());
            };
            if object.contains_key("isHidden") {
                return Err(ApiResponse::error(
                    400,
                    "ErrorInvalidRequest",
                    "isHidden can only be set when the folder is created.",
                ));
            }
            if let Some(name) = object.get("displayName") {
                let name = name_of(name)?;
                refuse_distinguished(
                    mailbox,
                    no,
                    "ErrorInvalidOperation",
                    "Distinguished folders cannot be renamed.",
                )?;
                refuse_duplicate(mailbox, mailbox.folder(no).parent, &name, Some(no))?;
                mailbox.folders[no as usize].name = name;
            }
            properties::read(object, &mut mailbox.folders[no as usize].extended)?;
            mailbox.touch_folder(no);
            answer(mailbox, request, 200, no)
        }
        Method::DELETE => {
            refuse_distinguished(
                mailbox,
                no,
                "ErrorDeleteDistinguishedFolder",
                "Distinguished folders cannot be deleted.",
            )?;
            let _ = world;
            let bin = mailbox.well_known("deleteditems");
            if mailbox.is_below(no, bin) {
                remove(mailbox, no);
            } else {
                put_below(mailbox, no, bin);
            }
            Ok(ApiResponse::no_content())
        }
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

fn bad_body() -> ApiResponse {
    ApiResponse::error(
        400,
        "UnableToDeserializePostBody",
        "were unable to deserialize",
    )
}

pub fn name_of(value: &Value) -> Result<String, ApiResponse> {
    let name = value.as_str().unwrap_or_default();
    if name.is_empty() || name.chars().count() > 255 {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidProperty",
            "The property 'DisplayName' must have 1 to 255 characters.",
        ));
    }
    Ok(name.to_owned())
}

pub fn refuse_distinguished(
    mailbox: &Mailbox,
    no: No,
    code: &str,
    message: &str,
) -> Result<(), ApiResponse> {
    match mailbox.folder(no).well_known {
        Some(_) => Err(ApiResponse::error(400, code, message)),
        None => Ok(()),
    }
}

/// Names below one folder are compared without case.
pub fn refuse_duplicate(
    mailbox: &Mailbox,
    parent: No,
    name: &str,
    except: Option<No>,
) -> Result<(), ApiResponse> {
    let lower = name.to_lowercase();
    if mailbox
        .children(parent)
        .any(|f| Some(f.no) != except && f.name.to_lowercase() == lower)
    {
        return Err(ApiResponse::error(
            409,
            "ErrorFolderExists",
            &format!(
                "A folder with the specified name already exists., Could not create folder '{name}'."
            ),
        ));
    }
    Ok(())
}

fn create(
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    parent: No,
) -> Result<ApiResponse, ApiResponse> {
    let body = request.json()?;
    let Some(object) = body.as_object() else {
        return Err(bad_body());
    };
    for key in object.keys().filter(|k| !k.contains('@')) {
        let known = KNOWN.contains(&key.as_str()) || key.ends_with("ExtendedProperties");
        if !known {
            return Err(validate::unknown_property(
                key,
                "microsoft.graph.mailFolder",
            ));
        }
    }
    let name = name_of(&body["displayName"])?;
    refuse_duplicate(mailbox, parent, &name, None)?;
    refuse_depth(mailbox, parent)?;
    let mut extended = properties::Extended::default();
    properties::read(object, &mut extended)?;
    let no = mailbox.add_folder(&name, parent, None);
    let folder = &mut mailbox.folders[no as usize];
    folder.hidden = body["isHidden"].as_bool().unwrap_or(false);
    folder.extended = extended;
    answer(mailbox, request, 201, no)
}

/// Folders nest at most 300 deep.
pub fn refuse_depth(mailbox: &Mailbox, parent: No) -> Result<(), ApiResponse> {
    let mut depth = 0;
    let mut at = parent;
    while mailbox.folder(at).parent != at {
        at = mailbox.folder(at).parent;
        depth += 1;
    }
    if depth >= 300 {
        return Err(ApiResponse::error(
            400,
            "ErrorFolderHierarchyDepthExceeded",
            "The folder would be nested too deep.",
        ));
    }
    Ok(())
}

/// The folder named by `destinationId`.
pub fn destination(mailbox: &Mailbox, request: &ApiRequest) -> Result<No, ApiResponse> {
    let body = request.json()?;
    let field = body.as_object().and_then(|o| {
        o.iter()
            .find(|(k, _)| k.eq_ignore_ascii_case("destinationId"))
    });
    let Some(id) = field.and_then(|(_, v)| v.as_str()) else {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "The destination folder is missing.",
        ));
    };
    mailbox.find_folder(id).ok_or_else(|| missing(mailbox, id))
}

fn relocate(
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    no: No,
    copy: bool,
) -> Result<ApiResponse, ApiResponse> {
    let to = destination(mailbox, request)?;
    if mailbox.is_below(to, no) {
        return Err(ApiResponse::error(
            400,
            "ErrorMoveCopyFailed",
            "The folder cannot be put below itself.",
        ));
    }
    let name = mailbox.folder(no).name.clone();
    refuse_duplicate(mailbox, to, &name, (!copy).then_some(no))?;
    if copy {
        let no = copy_tree(mailbox, no, to);
        return answer(mailbox, request, 201, no);
    }
    refuse_distinguished(
        mailbox,
        no,
        "ErrorMoveDistinguishedFolder",
        "Distinguished folders cannot be moved.",
    )?;
    mailbox.move_folder(no, to);
    answer(mailbox, request, 201, no)
}

fn copy_tree(mailbox: &mut Mailbox, no: No, to: No) -> No {
    let name = mailbox.folder(no).name.clone();
    let extended = mailbox.folder(no).extended.clone();
    let copy = mailbox.add_folder(&name, to, None);
    mailbox.folders[copy as usize].extended = extended;
    let items: Vec<No> = mailbox.folder(no).members().collect();
    for item in items {
        write::copy_item(mailbox, item, copy);
    }
    let below: Vec<No> = mailbox.children(no).map(|f| f.no).collect();
    for child in below {
        copy_tree(mailbox, child, copy);
    }
    copy
}

/// Moves a folder below another under a name that is free there.
pub fn put_below(mailbox: &mut Mailbox, no: No, parent: No) {
    let name = mailbox.folder(no).name.clone();
    let mut free = name.clone();
    let mut n = 0;
    while refuse_duplicate(mailbox, parent, &free, Some(no)).is_err() {
        n += 1;
        free = format!("{name}{n}");
    }
    mailbox.folders[no as usize].name = free;
    mailbox.move_folder(no, parent);
}

/// Takes a folder away with all that is below it.
pub fn remove(mailbox: &mut Mailbox, no: No) {
    let below: Vec<No> = mailbox.children(no).map(|f| f.no).collect();
    for child in below {
        remove(mailbox, child);
    }
    let items: Vec<No> = mailbox.folder(no).members().collect();
    for item in items {
        mailbox.move_to(item, NOWHERE);
    }
    mailbox.drop_folder(no);
}
