//! Folders of any kind: listing, reading, making, renaming, deleting.

use http::Method;
use serde_json::{Value, json};

use super::registry::mailbox_id;
use super::{Part, Target, delta, items};
use crate::api::{ApiRequest, ApiResponse, Version};
use crate::filter::{self, Expr, Subject};
use crate::mail::folders as mail;
use crate::mail::ids::No;
use crate::mail::properties::{self, Wanted};
use crate::mail::store::Mailbox;
use crate::mail::validate::{object_of, unknown_property};
use crate::odata::{self, Object, Select};
use crate::world::World;

pub const KNOWN: &[&str] = &[
    "id",
    "displayName",
    "parentFolderId",
    "childFolderCount",
    "totalItemCount",
    "type",
    "wellKnownName",
    "parentMailboxUrl",
];

/// Everything below `.../folders`.
pub fn route(
    world: &World,
    target: &Target,
    request: &ApiRequest,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let mailbox = &mut *target.store.lock();
    let root = mailbox.well_known("msgfolderroot");
    let scope = Scope {
        world,
        target,
        request,
    };
    match rest {
        [] => scope.children(mailbox, root),
        [id] if mail::is_delta(id) => delta::folders(&scope, mailbox, root),
        [id, below @ ..] => {
            let no = find(mailbox, id)?;
            scope.at(mailbox, no, below)
        }
    }
}

/// A folder by id or well-known name.
pub fn find(mailbox: &Mailbox, id: &str) -> Result<No, ApiResponse> {
    mailbox
        .find_folder(id)
        .ok_or_else(|| mail::missing(mailbox, id))
}

/// What every handler here needs besides the mailbox.
pub struct Scope<'a> {
    pub world: &'a World,
    pub target: &'a Target,
    pub request: &'a ApiRequest,
}

impl Scope<'_> {
    fn at(
        &self,
        mailbox: &mut Mailbox,
        no: No,
        below: &[&str],
    ) -> Result<ApiResponse, ApiResponse> {
        let Some(what) = below.first() else {
            return self.one(mailbox, no);
        };
        match (what.to_ascii_lowercase().as_str(), &below[1..]) {
            ("childfolders", []) => self.children(mailbox, no),
            ("childfolders", [id]) if mail::is_delta(id) => delta::folders(self, mailbox, no),
            ("childfolders", [id, rest @ ..]) => {
                let child = find(mailbox, id)?;
                self.at(mailbox, child, rest)
            }
            ("items", _) if !self.target.holds(mailbox, no) => Err(crate::mail::item_not_found()),
            ("items", rest) => items::route(self, mailbox, no, rest),
            _ => Err(ApiResponse::no_such_segment(what)),
        }
    }

    /// `@odata.context` of something below this mailbox.
    pub fn context(&self, what: &str) -> String {
        let id = percent_encoding::utf8_percent_encode(
            &self.target.id,
            percent_encoding::NON_ALPHANUMERIC,
        );
        let id = id.to_string().replace("%2D", "-");
        self.request
            .context(&format!("admin/exchange/mailboxes('{id}'){what}"))
    }

    /// A folder with all its properties.
    pub fn whole(&self, mailbox: &Mailbox, no: No) -> Object {
        let folder = mailbox.folder(no);
        let mut out = Object::new();
        out.insert("id".into(), json!(mailbox.ids.folder(no)));
        out.insert("displayName".into(), json!(folder.name));
        let parent = mailbox.ids.folder(folder.parent);
        out.insert("parentFolderId".into(), json!(parent));
        let children = mailbox.children(no).count();
        out.insert("childFolderCount".into(), json!(children));
        out.insert("totalItemCount".into(), json!(folder.count()));
        out.insert("type".into(), json!(folder.class));
        if self.request.version == Version::Beta {
            out.insert("wellKnownName".into(), json!(folder.well_known));
            let url = folder.auxiliary.then(|| {
                let id = mailbox_id(self.world, &self.target.user.id, Part::Auxiliary);
                format!("{}/admin/exchange/mailboxes/{id}", self.request.root_url())
            });
            out.insert("parentMailboxUrl".into(), json!(url));
        }
        out
    }

    /// A folder as it was asked for.
    pub fn show(&self, mailbox: &Mailbox, no: No, select: &Select, wanted: &Wanted) -> Object {
        let mut out = self.whole(mailbox, no);
        select.apply(&mut out);
        wanted.show(|id| mail::property(mailbox.folder(no), id), &mut out);
        out
    }

    fn select(&self) -> Result<Select, ApiResponse> {
        Select::of(self.request, "microsoft.graph.mailboxFolder", KNOWN)
    }

    fn wanted(&self) -> Wanted {
        Wanted::parse(self.request.option("expand").unwrap_or_default())
    }

    fn children(&self, mailbox: &mut Mailbox, parent: No) -> Result<ApiResponse, ApiResponse> {
        match self.request.method {
            Method::GET => {}
            Method::POST => return self.create(mailbox, parent),
            _ => return Err(ApiResponse::method_not_allowed()),
        }
        let (select, wanted) = (self.select()?, self.wanted());
        let filter = self.request.option("filter").map(Expr::parse).transpose()?;
        let order = self.request.option("orderby").map(filter::order_by);
        let mut all: Vec<(Value, No)> = mailbox
            .children(parent)
            .map(|f| (Value::Object(self.whole(mailbox, f.no)), f.no))
            .filter(|(whole, _)| filter.as_ref().is_none_or(|e| e.matches(whole)))
            .collect();
        for (path, descending) in order.iter().flatten().rev() {
            all.sort_by_cached_key(|(whole, _)| sort_key(&Subject::get(whole, path)));
            if *descending {
                all.reverse();
            }
        }
        let all = all
            .into_iter()
            .map(|(_, no)| Value::Object(self.show(mailbox, no, &select, &wanted)))
            .collect();
        let context = self.context("/folders");
        let page = odata::slice(self.request, context, all, 10, 1000)?;
        Ok(ApiResponse::ok(page))
    }

    fn answer(&self, mailbox: &Mailbox, status: u16, no: No) -> Result<ApiResponse, ApiResponse> {
        let mut out = self.show(mailbox, no, &self.select()?, &self.wanted());
        let context = self.context("/folders/$entity");
        out.insert("@odata.context".into(), json!(context));
        Ok(ApiResponse::json(status, Value::Object(out)))
    }

    fn one(&self, mailbox: &mut Mailbox, no: No) -> Result<ApiResponse, ApiResponse> {
        match self.request.method {
            Method::GET => self.answer(mailbox, 200, no),
            Method::PATCH => self.rename(mailbox, no),
            Method::DELETE => {
                mail::refuse_distinguished(
                    mailbox,
                    no,
                    "ErrorDeleteDistinguishedFolder",
                    "Distinguished folders cannot be deleted.",
                )?;
                let bin = mailbox.well_known("deleteditems");
                if mailbox.is_below(no, bin) {
                    mail::remove(mailbox, no);
                } else {
                    mail::put_below(mailbox, no, bin);
                }
                Ok(ApiResponse::no_content())
            }
            _ => Err(ApiResponse::method_not_allowed()),
        }
    }

    fn rename(&self, mailbox: &mut Mailbox, no: No) -> Result<ApiResponse, ApiResponse> {
        let body = object_of(self.request)?;
        if body.contains_key("type") {
            return Err(ApiResponse::error(
                400,
                "ErrorInvalidPropertySet",
                "Set action is invalid for property 'type'.",
            ));
        }
        check_names(&body)?;
        if let Some(name) = body.get("displayName") {
            let name = mail::name_of(name)?;
            mail::refuse_distinguished(
                mailbox,
                no,
                "ErrorInvalidOperation",
                "Distinguished folders cannot be renamed.",
            )?;
            mail::refuse_duplicate(mailbox, mailbox.folder(no).parent, &name, Some(no))?;
            mailbox.folders[no as usize].name = name;
        }
        properties::read(&body, &mut mailbox.folders[no as usize].extended)?;
        mailbox.touch_folder(no);
        self.answer(mailbox, 200, no)
    }

    fn create(&self, mailbox: &mut Mailbox, parent: No) -> Result<ApiResponse, ApiResponse> {
        let body = object_of(self.request)?;
        check_names(&body)?;
        let name = mail::name_of(body.get("displayName").unwrap_or(&Value::Null))?;
        let class = body.get("type").and_then(Value::as_str).unwrap_or_default();
        if !class.starts_with("IPF.") {
            return Err(ApiResponse::error(
                400,
                "ErrorInvalidProperty",
                "The property 'type' is required when creating the entity.",
            ));
        }
        mail::refuse_duplicate(mailbox, parent, &name, None)?;
        mail::refuse_depth(mailbox, parent)?;
        let mut extended = properties::Extended::default();
        properties::read(&body, &mut extended)?;
        let no = mailbox.add_folder(&name, parent, None);
        let auxiliary = mailbox.folder(parent).auxiliary;
        let folder = &mut mailbox.folders[no as usize];
        folder.class = Some(class.to_owned().into());
        folder.extended = extended;
        folder.auxiliary = auxiliary;
        self.answer(mailbox, 201, no)
    }
}

fn check_names(body: &Object) -> Result<(), ApiResponse> {
    let unknown = body.keys().find(|k| {
        !k.contains('@') && !k.ends_with("ExtendedProperties") && !KNOWN.contains(&k.as_str())
    });
    match unknown {
        Some(name) => Err(unknown_property(name, "microsoft.graph.mailboxFolder")),
        None => Ok(()),
    }
}

/// Numbers in their order, all else by its letters.
pub fn sort_key(value: &Value) -> (u64, String) {
    match value {
        Value::String(text) => (0, text.to_lowercase()),
        value => (value.as_u64().unwrap_or(0), String::new()),
    }
}
