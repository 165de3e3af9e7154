//! Items, drives, versions and permissions as Graph's JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Map, Value, json};

use crate::api::{ApiRequest, Hint};
use crate::clock::rfc3339;

use super::failure::Failure;
use super::home::{Home, Owner, Person};
use super::item::{Actor, Index, Item, Kind, ROOT, guid_text};
use super::sharing::{self, Permission, Principal};
use super::store::Drive;
use super::{names, quickxor, special};

/// Which properties an answer has: what `$select` named, or all.
#[derive(Clone, Debug, Default)]
pub struct Select(Option<Vec<String>>);

impl Select {
    pub fn parse(text: Option<&str>) -> Select {
        let names: Vec<String> = text
            .unwrap_or_default()
            .split(',')
            .map(|s| s.trim().to_owned())
            .filter(|s| !s.is_empty())
            .collect();
        Select((!names.is_empty()).then_some(names))
    }

    /// True when `name` itself was named.
    pub fn named(&self, name: &str) -> bool {
        self.0
            .iter()
            .flatten()
            .any(|n| n.eq_ignore_ascii_case(name))
    }

    /// Everything that is there without asking is wanted.
    fn all(&self) -> bool {
        self.0.is_none() || self.named("*")
    }

    fn download_url_named(&self) -> bool {
        self.named("content.downloadUrl")
            || self.named("@microsoft.graph.downloadUrl")
            || self.named("@content.downloadUrl")
    }

    /// Takes out what was not asked for.
    pub fn apply(&self, object: &mut Map<String, Value>) {
        if !self.all() {
            object.retain(|key, _| key.contains('@') || key == "id" || self.named(key));
        }
    }
}

/// Where an item is shown: delta leaves some things out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Plain,
    Delta {
        hierarchical: bool,
        sharing_after: Option<u64>,
    },
}

/// Makes the JSON of a drive's items for one request.
pub struct Renderer<'a> {
    pub drive: &'a Drive,
    pub select: &'a Select,
    pub view: View,
    /// `Hint::WrongHash`: the hash told is not the right one.
    pub wrong_hash: bool,
    /// Notebooks are `package` alone, without `folder`.
    pub package_only: bool,
    /// Makes a pre-authenticated download URL.
    pub download_url: &'a dyn Fn(&Drive, Index) -> String,
    /// With the retention label.
    pub label: bool,
}

impl Renderer<'_> {
    /// One item. Errors are those of reading an imported file for its hash.
    pub fn item(&self, index: Index) -> Result<Value, Failure> {
        let drive = self.drive;
        let item = drive.item(index);
        let mut o = Map::new();
        let delta = matches!(self.view, View::Delta { .. });
        if delta {
            o.insert("@odata.type".into(), "#microsoft.graph.driveItem".into());
        }
        o.insert("id".into(), drive.id_of(index).into());
        if delta && item.deleted {
            self.tombstone(index, item, &mut o);
            return Ok(Value::Object(o));
        }
        o.insert("name".into(), item.name.clone().into());
        o.insert("size".into(), item.size().into());
        o.insert("createdDateTime".into(), rfc3339(item.created).into());
        o.insert("lastModifiedDateTime".into(), rfc3339(item.modified).into());
        let by = |actor| identity_set(&drive.home, actor);
        o.insert("createdBy".into(), by(&item.created_by));
        o.insert("lastModifiedBy".into(), by(&item.modified_by));
        o.insert("webUrl".into(), web_url(drive, index).into());
        if index != ROOT {
            o.insert("eTag".into(), item.etag_text().into());
        }
        o.insert(
            "parentReference".into(),
            self.parent_reference(index, delta),
        );
        o.insert(
            "fileSystemInfo".into(),
            json!({"createdDateTime": rfc3339(item.created), "lastModifiedDateTime": rfc3339(item.modified)}),
        );
        self.facets(index, item, delta, &mut o)?;
        let hierarchical = match self.view {
            View::Delta {
                hierarchical,
                sharing_after,
            } => {
                if sharing_after.is_some_and(|after| item.sharing_seq > after) {
                    o.insert("@microsoft.graph.sharedChanged".into(), "True".into());
                }
                hierarchical
            }
            View::Plain => false,
        };
        if let Some(shared) = drive.shared_facet(index, hierarchical) {
            o.insert("shared".into(), shared);
        }
        if self.select.named("sharepointIds") {
            o.insert("sharepointIds".into(), sharepoint_ids(drive, Some(index)));
        }
        self.select.apply(&mut o);
        if self.label {
            o.insert("retentionLabel".into(), special::label_of(item));
        }
        Ok(Value::Object(o))
    }

    fn facets(
        &self,
        index: Index,
        item: &Item,
        delta: bool,
        o: &mut Map<String, Value>,
    ) -> Result<(), Failure> {
        match &item.kind {
            Kind::Folder(folder) => {
                if index == ROOT {
                    o.insert("root".into(), json!({}));
                }
                if !(folder.notebook && self.package_only) {
                    o.insert(
                        "folder".into(),
                        json!({"childCount": folder.children.len()}),
                    );
                }
                if folder.notebook {
                    o.insert("package".into(), json!({"type": "oneNote"}));
                }
                let personal = self.drive.home.person().is_some();
                if personal && item.parent == ROOT && index != ROOT && item.name == "Documents" {
                    o.insert("specialFolder".into(), json!({"name": "documents"}));
                }
            }
            // Such items were seen; nobody knows what they are.
            _ if item.special.as_ref().is_some_and(|s| s.bare) => {}
            Kind::File(file) => {
                if !delta {
                    o.insert("cTag".into(), item.ctag_text().into());
                }
                let mut facet = json!({"mimeType": names::media_type(&item.name)});
                // Sections of notebooks come without hashes.
                if !is_onenote(&item.name) {
                    let mut hash = file.content.hash().map_err(Failure::io)?;
                    if self.wrong_hash {
                        hash[0] ^= 0xff;
                    }
                    facet["hashes"] = json!({"quickXorHash": quickxor::encode(&hash)});
                }
                o.insert("file".into(), facet);
                if item.malware {
                    o.insert(
                        "malware".into(),
                        json!({"description": "Virus: DOS/EICAR_Test_File"}),
                    );
                }
                let wanted = self.select.download_url_named() || (self.select.all() && !delta);
                if wanted && !item.malware {
                    o.insert(
                        "@microsoft.graph.downloadUrl".into(),
                        (self.download_url)(self.drive, index).into(),
                    );
                }
            }
            Kind::Remote(remote) => {
                let mut facet = json!({
                    "id": remote.item_id, "name": remote.name,
                    "parentReference": {"driveId": remote.drive_id, "driveType": "business"},
                });
                let kind = if remote.is_folder { "folder" } else { "file" };
                facet[kind] = json!({});
                o.insert("remoteItem".into(), facet);
            }
        }
        Ok(())
    }

    fn parent_reference(&self, index: Index, delta: bool) -> Value {
        let drive = self.drive;
        let mut reference = json!({"driveType": drive.home.drive_type(), "driveId": drive.id});
        if index != ROOT {
            let parent = drive.item(index).parent;
            reference["id"] = drive.id_of(parent).into();
            reference["siteId"] = guid_text(drive.site[0]).to_ascii_lowercase().into();
            if !drive.item(index).deleted {
                reference["name"] = drive.item(parent).name.clone().into();
            }
            if !delta {
                reference["path"] = reference_path(drive, parent).into();
            }
        }
        reference
    }

    /// No name, no cTag, and the hash of nothing.
    fn tombstone(&self, index: Index, item: &Item, o: &mut Map<String, Value>) {
        let facet = match &item.kind {
            Kind::File(_) => (
                "file",
                json!({"hashes": {"quickXorHash": quickxor::encode(&quickxor::ZERO)}}),
            ),
            _ => ("folder", json!({"childCount": 0})),
        };
        o.insert(facet.0.into(), facet.1);
        o.insert("size".into(), 0.into());
        let mut reference = self.parent_reference(index, true);
        if let Some(reference) = reference.as_object_mut() {
            reference.remove("siteId");
        }
        o.insert("parentReference".into(), reference);
        o.insert("deleted".into(), json!({"state": "deleted"}));
    }
}

/// The request asks for hashes that are wrong (a scripted fault).
pub fn wants_wrong_hash(request: &ApiRequest) -> bool {
    request.hint == Some(Hint::WrongHash)
}

pub fn is_onenote(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.ends_with(".one") || lower.ends_with(".onetoc2")
}

/// `/drives/{id}/root:/a/b` with each name percent-encoded.
fn reference_path(drive: &Drive, index: Index) -> String {
    let mut out = format!("/drives/{}/root:", drive.id);
    for name in drive.path(index) {
        out.push('/');
        out.push_str(&super::route::encode_segment(name));
    }
    out
}

pub fn web_url(drive: &Drive, index: Index) -> String {
    let mut out = drive.home.web_url();
    for name in drive.path(index) {
        out.push('/');
        out.push_str(&super::route::encode_segment(name));
    }
    out
}

fn sharepoint_ids(drive: &Drive, index: Option<Index>) -> Value {
    let lower = |guid: u128| guid_text(guid).to_ascii_lowercase();
    let mut ids = json!({
        "siteId": lower(drive.site[0]), "webId": lower(drive.site[1]), "listId": lower(drive.site[2]),
        "siteUrl": drive.home.site_url(), "tenantId": drive.home.tenant,
    });
    if let Some(index) = index {
        ids["listItemId"] = index.to_string().into();
        ids["listItemUniqueId"] = lower(drive.item(index).guid).into();
    }
    ids
}

pub fn identity_set(home: &Home, actor: &Actor) -> Value {
    match actor {
        Actor::Owner => owner(home),
        Actor::Person(person) => json!({"user": user_identity(person)}),
        Actor::App(id) => json!({
            "application": {"id": &**id, "displayName": "tenant application"},
            "user": {"displayName": "SharePoint App"},
        }),
        Actor::System => json!({"user": {"displayName": "System Account"}}),
    }
}

fn user_identity(person: &Person) -> Value {
    json!({"id": person.id, "displayName": person.name, "email": person.email})
}

/// The identity set of whom a drive belongs to.
fn owner(home: &Home) -> Value {
    match &home.owner {
        Owner::Person(person) => json!({"user": user_identity(person)}),
        Owner::Site { .. } => json!({"user": {"displayName": "System Account"}}),
    }
}

/// The drive itself.
pub fn drive(drive: &Drive, select: &Select) -> Value {
    let used = drive.used();
    let remaining = drive.quota.saturating_sub(used);
    let state = match remaining {
        0 => "exceeded",
        r if r < drive.quota / 100 => "critical",
        r if r < drive.quota / 10 => "nearing",
        _ => "normal",
    };
    let mut o = Map::new();
    o.insert("id".into(), drive.id.clone().into());
    o.insert("driveType".into(), drive.home.drive_type().into());
    o.insert("name".into(), drive.home.name.clone().into());
    o.insert("description".into(), "".into());
    o.insert("createdDateTime".into(), rfc3339(drive.created).into());
    o.insert(
        "lastModifiedDateTime".into(),
        rfc3339(drive.changed_at()).into(),
    );
    o.insert(
        "createdBy".into(),
        identity_set(&drive.home, &Actor::System),
    );
    o.insert("webUrl".into(), drive.home.web_url().into());
    o.insert("owner".into(), owner(&drive.home));
    o.insert(
        "quota".into(),
        json!({"deleted": drive.recycled, "remaining": remaining, "state": state, "total": drive.quota, "used": used}),
    );
    if select.named("sharePointIds") {
        o.insert("sharePointIds".into(), sharepoint_ids(drive, None));
    }
    if drive.home.system {
        o.insert("system".into(), json!({}));
    }
    select.apply(&mut o);
    Value::Object(o)
}

/// The versions of a file, newest first; the first is the current one.
pub fn versions(drive: &Drive, index: Index) -> Vec<Value> {
    let item = drive.item(index);
    let Some(file) = item.file() else {
        return Vec::new();
    };
    let entry = |number: u32, size: u64, modified: i64, by: &Actor| {
        json!({
            "id": format!("{number}.0"), "size": size, "lastModifiedDateTime": rfc3339(modified),
            "lastModifiedBy": identity_set(&drive.home, by),
        })
    };
    let current = entry(
        file.version,
        file.content.len(),
        item.modified,
        &item.modified_by,
    );
    let older = file.older.iter().rev();
    std::iter::once(current)
        .chain(older.map(|v| entry(v.number, v.content.len(), v.modified, &v.modified_by)))
        .collect()
}

/// One permission. `inheritedFrom` is never there, as in OneDrive for Business.
pub fn permission(permission: &Permission, home: &Home) -> Value {
    let mut o = json!({"id": permission.id, "roles": permission.roles});
    if let Some(expires) = permission.expires {
        o["expirationDateTime"] = rfc3339(expires).into();
    }
    match &permission.kind {
        sharing::Kind::Grant(principal) => {
            o["grantedToV2"] = principal_v2(principal);
            if let Principal::User { id, name, .. } = principal {
                o["grantedTo"] = json!({"user": {"id": id, "displayName": name}});
            }
            if !permission.roles.iter().any(|r| r == "owner") {
                o["shareId"] = format!("u!{}", STANDARD_NO_PAD.encode(&permission.id)).into();
            }
        }
        sharing::Kind::Link(link) => {
            o["hasPassword"] = link.has_password.into();
            o["shareId"] = format!("u!{}", STANDARD_NO_PAD.encode(&link.url)).into();
            o["link"] = json!({
                "scope": link.scope, "type": link.kind, "webUrl": link.url, "preventsDownload": link.prevents_download,
            });
            let people: Vec<Value> = link.people.iter().map(principal_v2).collect();
            o["grantedToIdentitiesV2"] = people.into();
        }
        sharing::Kind::Invitation { email } => {
            o["invitation"] = json!({
                "email": email, "signInRequired": true, "invitedBy": owner(home),
            });
        }
    }
    o
}

fn principal_v2(principal: &Principal) -> Value {
    match principal {
        Principal::User {
            id,
            name,
            email,
            number,
        } => json!({
            "user": {"id": id, "displayName": name, "email": email},
            "siteUser": {
                "id": number.to_string(), "displayName": name, "email": email,
                "loginName": format!("i:0#.f|membership|{email}"),
            },
        }),
        Principal::SiteGroup { number, name } => {
            json!({"siteGroup": {"id": number.to_string(), "displayName": name, "loginName": name}})
        }
    }
}

/// Ids of grants are base64 of the login name.
pub fn grant_id(email: &str) -> String {
    STANDARD_NO_PAD.encode(format!("i:0#.f|membership|{email}"))
}

/// `{drive}/items/{id}` for contexts.
pub fn items_context(drive: &Drive) -> String {
    format!("drives('{}')/items", drive.id.replace('!', "%21"))
}
