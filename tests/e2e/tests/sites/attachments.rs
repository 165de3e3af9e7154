//! Attachments of list items: files beside the item, and back, where the identity has a certificate; named as
//! not captured where it has none.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::corpus;
use e2e::graph::encoded;
use e2e::shell::{quote, sh, sh_ok};
use reqwest::Method;
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

use super::scene::Scene;

const FINANCE: &str = "[protect]\nworkloads = [\"lists\"]\nsites = { include = [\"Finance\"] }\n";
const ASSETS: &str = "Sites/Finance/Lists/Assets";

fn scene() -> Result<Scene> {
    Scene::with_certificate(FINANCE, |o| {
        o.site_files = 0;
        o.site_items = 60;
    })
}

/// SharePoint's own interface at the site of finance, as another application uses it.
pub struct Rest<'a> {
    scene: &'a Scene,
    http: Client,
    token: String,
}

impl<'a> Rest<'a> {
    /// Signs in with an identity of another issuer, which counts as much as a certificate.
    pub fn of(scene: &'a Scene) -> Result<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({ "aud": "api://AzureADTokenExchange", "sub": "x", "iss": "y",
            "nbf": now.as_secs(), "exp": now.as_secs() + 600 });
        let header = part(json!({ "alg": "RS256", "typ": "JWT" }));
        let proof = format!(
            "{header}.{}.{}",
            part(claims),
            URL_SAFE_NO_PAD.encode("signature")
        );
        let emulator = &scene.tenant.emulator;
        let form = format!(
            "grant_type=client_credentials&client_id={}&scope=https%3A%2F%2Fcontoso.sharepoint.com%2F.default\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion={proof}",
            emulator.client_id
        );
        let http = Client::new();
        let answer: Value = http
            .post(format!(
                "{}/{}/oauth2/v2.0/token",
                emulator.url, emulator.tenant
            ))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()?
            .json()?;
        let token = answer["access_token"].as_str().context("no token")?;
        Ok(Self {
            scene,
            http,
            token: token.to_owned(),
        })
    }

    /// Makes somebody known to the site; the number there.
    pub fn ensure_user(&self, login: &str) -> Result<u64> {
        let url = format!(
            "{}/sites/Finance/_api/web/ensureuser",
            self.scene.tenant.emulator.url
        );
        let request = self.http.post(url).bearer_auth(&self.token);
        let answer: Value = request
            .json(&json!({ "logonName": login }))
            .send()?
            .json()?;
        answer["Id"].as_u64().with_context(|| answer.to_string())
    }

    pub fn send(&self, method: Method, list: &str, item: &str, below: &str) -> Result<Response> {
        let (_, list) = self.scene.list_id("/sites/Finance", list)?;
        let url = format!(
            "{}/sites/Finance/_api/web/lists(guid'{list}')/items({item}){below}",
            self.scene.tenant.emulator.url
        );
        let request = self.http.request(method, url).bearer_auth(&self.token);
        let answer = request.header("accept", "application/json;odata=nometadata");
        Ok(answer.send()?)
    }

    /// Everything that is attached in a list: title of the item and name of the file, with its bytes.
    fn attached(&self, list: &str) -> Result<BTreeMap<(String, String), Vec<u8>>> {
        let mut all = BTreeMap::new();
        for item in self.scene.items("/sites/Finance", list)? {
            let id = item["id"].as_str().context("no id")?;
            let title = item["fields"]["Title"].as_str().unwrap_or_default();
            let told: Value = self
                .send(Method::GET, list, id, "?$expand=AttachmentFiles")?
                .json()?;
            for file in told["AttachmentFiles"].as_array().context("no files")? {
                let name = file["FileName"].as_str().context("no name")?;
                let path = format!("/AttachmentFiles('{}')/$value", literal(name));
                let answer = self.send(Method::GET, list, id, &path)?;
                ensure!(answer.status().is_success(), "{path}: {}", answer.status());
                let key = (title.to_owned(), name.to_owned());
                all.insert(key, answer.bytes()?.to_vec());
            }
        }
        Ok(all)
    }
}

/// A name as a literal in a URL has it.
fn literal(name: &str) -> String {
    encoded(&name.replace('\'', "''"))
}

/// The same in a snapshot.
fn captured(folder: &Path) -> Result<BTreeMap<(String, String), Vec<u8>>> {
    let mut all = BTreeMap::new();
    for file in corpus::files(folder) {
        let above = file.parent().context("no folder")?;
        if above.extension().is_none_or(|e| e != "attachments") {
            continue;
        }
        let item: Value = serde_json::from_slice(&fs::read(above.with_extension("json"))?)?;
        let title = item["fields"]["Title"].as_str().unwrap_or_default();
        let name = file.file_name().context("no name")?.to_string_lossy();
        all.insert((title.to_owned(), name.into_owned()), fs::read(&file)?);
    }
    Ok(all)
}

#[test]
fn attachments_are_files_beside_the_item_and_come_back() -> Result<()> {
    let scene = scene()?;
    let rest = Rest::of(&scene)?;
    let before = rest.attached("Assets")?;
    ensure!(before.len() >= 4, "{:?}", before.keys());
    let first = scene.tenant.backup()?;
    ensure!(first["counts"]["failed"] == 0, "{first:#}");
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    ensure!(captured(&latest.join(ASSETS))? == before, "they differ");
    // Nothing is asked again while nothing changes.
    scene.tenant.graph.reset_requests()?;
    ensure!(scene.tenant.backup()?["snapshot"].is_null());
    let asked = scene.tenant.graph.requests()?.to_string();
    ensure!(!asked.contains("_api"), "{asked}");

    // Back through the mount, in whatever order; twice is once.
    scene.delete_items("/sites/Finance", "Assets")?;
    let rsync = format!(
        "rsync -rt --ignore-existing {}/ restore/{ASSETS}/",
        quote(&latest.join(ASSETS))
    );
    let items = scene.items("/sites/Finance", "Assets")?.len();
    ensure!(items == 0);
    sh_ok(&mount.dir, &rsync).with_context(|| log(&mount.dir))?;
    ensure!(rest.attached("Assets")? == before, "rsync lost some");
    let count = scene.items("/sites/Finance", "Assets")?.len();
    sh_ok(&mount.dir, &rsync)?;
    ensure!(scene.items("/sites/Finance", "Assets")?.len() == count);
    ensure!(rest.attached("Assets")? == before);

    // And by command.
    scene.delete_items("/sites/Finance", "Assets")?;
    let source = format!("latest/{ASSETS}");
    let done = scene.tenant.json(&["restore", &source, ASSETS])?;
    ensure!(done["failed"] == 0, "{done:#}");
    ensure!(rest.attached("Assets")? == before, "the command lost some");
    ensure!(scene.items("/sites/Finance", "Assets")?.len() == count);
    let again = scene.tenant.json(&["restore", &source, ASSETS])?;
    ensure!(again["restored"] == 0 && again["failed"] == 0, "{again:#}");
    scene.nothing_was_sent()
}

fn log(mount: &Path) -> String {
    fs::read_to_string(mount.join("restore/.log")).unwrap_or_default()
}

/// No program promises an order: attachments may be copied before their item.
#[test]
fn attachments_that_come_first_make_their_item() -> Result<()> {
    let scene = scene()?;
    let rest = Rest::of(&scene)?;
    let before = rest.attached("Assets")?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let assets = mount.path("snapshots/latest").canonicalize()?.join(ASSETS);
    let folders = fs::read_dir(&assets)?.filter_map(|entry| Some(entry.ok()?.path()));
    let folder = folders
        .filter(|path| path.extension().is_some_and(|e| e == "attachments"))
        .min()
        .context("no attachments")?;
    let file = folder.with_extension("json");
    let item: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let title = item["fields"]["Title"].as_str().context("no title")?;
    scene.delete_items("/sites/Finance", "Assets")?;
    sh_ok(
        &mount.dir,
        &format!("cp -r {} restore/{ASSETS}/", quote(&folder)),
    )
    .with_context(|| log(&mount.dir))?;
    // The item's own file is no second one.
    sh_ok(
        &mount.dir,
        &format!("cp {} restore/{ASSETS}/", quote(&file)),
    )
    .with_context(|| log(&mount.dir))?;
    let items = scene.items("/sites/Finance", "Assets")?;
    ensure!(items.len() == 1, "{items:#?}");
    ensure!(items[0]["fields"]["Title"] == title);
    ensure!(items[0]["fields"]["Price"] == item["fields"]["Price"]);
    let of_it = before.into_iter().filter(|((of, _), _)| of == title);
    ensure!(rest.attached("Assets")? == of_it.collect());
    let (ok, said) = sh(
        &mount.dir,
        &format!("cp {} restore/{ASSETS}/", quote(&file)),
    )?;
    ensure!(!ok && said.contains("exists"), "{said}");
    // One of this machine beside it, and one that replaces.
    let name = folder.file_name().context("no name")?.to_string_lossy();
    let mine = scene.tenant.path("invoice.txt");
    fs::write(&mine, "mine")?;
    let cp = |policy: &str| {
        let target = format!("restore/{policy}{ASSETS}/{name}/");
        sh(&mount.dir, &format!("cp {} '{target}'", quote(&mine)))
    };
    let (ok, said) = cp("")?;
    ensure!(!ok && said.contains("exists"), "{said}");
    let (ok, said) = cp("@keep-both/")?;
    ensure!(ok, "{said}{}", log(&mount.dir));
    let (ok, said) = cp("@overwrite/")?;
    ensure!(ok, "{said}{}", log(&mount.dir));
    let now = rest.attached("Assets")?;
    for name in ["invoice.txt", "invoice (2).txt"] {
        let key = (title.to_owned(), name.to_owned());
        ensure!(now.get(&key).map(Vec::as_slice) == Some(b"mine"), "{name}");
    }
    scene.nothing_was_sent()
}

#[test]
fn what_is_detached_leaves_and_what_fails_is_reported() -> Result<()> {
    let scene = scene()?;
    let rest = Rest::of(&scene)?;
    // One can't be read for good.
    let refused = json!([{ "method": "GET", "route": "*AttachmentFiles()/$value", "count": 1,
                           "fault": { "status": 403 } }]);
    scene.tenant.graph.control("faults", &refused)?;
    let first = scene.tenant.backup()?;
    ensure!(first["counts"]["failed"] == 1, "{first:#}");
    let failed = first["failed"][0].to_string();
    ensure!(
        failed.contains("403") && failed.contains(".attachments"),
        "{failed}"
    );
    scene.tenant.graph.control("faults", &json!([]))?;

    let items = scene.items("/sites/Finance", "Assets")?;
    let mut with = items.iter().filter(|i| i["fields"]["Attachments"] == true);
    let mut next = || -> Result<&str> {
        let item = with.next().context("too few with attachments")?;
        item["id"].as_str().context("no id")
    };
    let (one, both) = (next()?, next()?);
    for (item, name) in [
        (one, "invoice.txt"),
        (both, "invoice.txt"),
        (both, "it's 100% #1.bin"),
    ] {
        let below = format!("/AttachmentFiles('{}')", literal(name));
        let answer = rest.send(Method::DELETE, "Assets", item, &below)?;
        ensure!(answer.status().is_success(), "{}", answer.status());
    }
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let assets = mount.path("snapshots/latest").canonicalize()?.join(ASSETS);
    let there = captured(&assets)?;
    let live = rest.attached("Assets")?;
    // What failed is tried again in its time; nothing else differs.
    ensure!(
        there
            .iter()
            .all(|(key, bytes)| live.get(key) == Some(bytes)),
        "{:?}",
        there.keys()
    );
    ensure!(
        there.len() + 1 >= live.len(),
        "{:?} {:?}",
        there.keys(),
        live.keys()
    );
    // With its item everything goes.
    scene.delete_items("/sites/Finance", "Assets")?;
    scene.tenant.backup()?;
    let next = scene.next_snapshot(&mount, &mount.path("snapshots/latest").canonicalize()?);
    let latest = next.unwrap_or(mount.path("snapshots/latest").canonicalize()?);
    let left = corpus::files(&latest.join(ASSETS));
    ensure!(left.len() == 2, "{left:?}");
    Ok(())
}

#[test]
fn without_a_certificate_each_list_says_so() -> Result<()> {
    let scene = Scene::with(FINANCE, |o| {
        o.site_files = 0;
        o.site_items = 60;
    })?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let report: Value = serde_json::from_slice(&fs::read(latest.join(".tenantfs/report.json"))?)?;
    let notes = report["notes"].as_array().context("no notes")?;
    let told: Vec<&Value> = notes
        .iter()
        .filter(|note| note["reason"].to_string().contains("not captured"))
        .collect();
    let sites: std::collections::BTreeSet<String> =
        told.iter().map(|n| n["account"].to_string()).collect();
    ensure!(
        !told.is_empty() && told.len() == sites.len(),
        "one line for each list: {told:#?}"
    );
    for note in told {
        let text = note.to_string();
        ensure!(
            text.contains("Assets") && text.contains("certificate"),
            "{text}"
        );
    }
    ensure!(captured(&latest.join(ASSETS))?.is_empty());
    // Nor can any be put back.
    let (ok, _) = sh(
        &mount.dir,
        &format!("mkdir restore/{ASSETS}/0001.aaaaaaaaaa.attachments"),
    )?;
    ensure!(
        !ok && log(&mount.dir).contains("certificate"),
        "{}",
        log(&mount.dir)
    );
    Ok(())
}

#[test]
fn doctor_says_whether_attachments_can_be_had() -> Result<()> {
    let nothing = |o: &mut graph_emulator::Options| {
        o.site_files = 0;
        o.site_items = 0;
    };
    let told = |scene: &Scene| -> Result<String> {
        let output = scene.tenant.run(&["doctor"])?;
        Ok(e2e::text(&output.stdout))
    };
    let with = told(&Scene::with_certificate(FINANCE, nothing)?)?;
    ensure!(
        with.matches("may use https://contoso.sharepoint.com/_api")
            .count()
            == 2,
        "{with}"
    );
    let without = told(&Scene::with(FINANCE, nothing)?)?;
    for part in [
        "attachments of list items are not captured",
        "attachments of list items can't be put back",
    ] {
        ensure!(without.contains(part), "{without}");
    }
    Ok(())
}
