//! Pages: every kind of them in, and back; one by one and whole; to other sites and services.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::drives;
use e2e::shell::{quote, sh, sh_ok};
use graph_emulator::{Options, Quirk};
use serde_json::{Value, json};

use super::scene::Scene;

const CONFIG: &str = "[protect]\nworkloads = [\"mail\", \"drive\", \"libraries\", \"pages\"]\n";
const FINANCE: &str = "Sites/Finance/Pages";
/// A picture, as far as its first bytes tell.
const HARBOUR: &[u8] = b"\xff\xd8\xff\xe0 a harbour in May";

fn scene() -> Result<Scene> {
    let scene = Scene::with(CONFIG, |o: &mut Options| {
        o.site_files = 0;
        o.messages = 2;
        o.files = 2;
        o.quirk = vec![Quirk::SitePagesDrive];
    })?;
    scene.hang_up("/sites/Finance")?;
    Ok(scene)
}

/// A page without what each page has for itself: ids, times, who wrote it.
fn meaning(page: &Value) -> Value {
    fn bare(value: &mut Value) {
        match value {
            Value::Array(all) => all.iter_mut().for_each(bare),
            Value::Object(object) => {
                object.retain(|name, value| {
                    let id = name == "id" && value.is_string();
                    !name.contains("@odata.") && !id
                });
                object.values_mut().for_each(bare);
            }
            _ => {}
        }
    }
    let mut kept = json!({ "level": page["publishingState"]["level"] });
    for name in [
        "title",
        "description",
        "pageLayout",
        "promotionKind",
        "showComments",
        "showRecommendedPages",
        "thumbnailWebUrl",
        "titleArea",
        "canvasLayout",
    ] {
        kept[name] = page[name].clone();
    }
    bare(&mut kept);
    kept
}

impl Scene {
    fn site_id(&self, site: &str) -> Result<String> {
        let site = self.site(site)?;
        Ok(site["id"].as_str().context("no id")?.to_owned())
    }

    /// The modern pages of a site with their canvas, by the names of their files.
    fn pages(&self, site: &str) -> Result<BTreeMap<String, Value>> {
        let graph = &self.tenant.graph;
        let site = self.site_id(site)?;
        let mut pages = BTreeMap::new();
        for page in graph.list(&format!("/sites/{site}/pages/microsoft.graph.sitePage"))? {
            let id = page["id"].as_str().context("no id")?;
            let name = page["name"].as_str().context("no name")?.to_owned();
            let path =
                format!("/sites/{site}/pages/{id}/microsoft.graph.sitePage?$expand=canvasLayout");
            pages.insert(name, graph.get(&path)?);
        }
        Ok(pages)
    }

    fn page(&self, site: &str, name: &str) -> Result<Value> {
        let mut pages = self.pages(site)?;
        let there: Vec<_> = pages.keys().cloned().collect();
        pages
            .remove(name)
            .with_context(|| format!("no {name} in {there:?}"))
    }

    fn meanings(&self, site: &str) -> Result<BTreeMap<String, Value>> {
        let pages = self.pages(site)?.into_iter();
        Ok(pages.map(|(name, page)| (name, meaning(&page))).collect())
    }

    fn change_title(&self, site: &str, name: &str, title: &str) -> Result<()> {
        let id = self.page(site, name)?["id"]
            .as_str()
            .context("no id")?
            .to_owned();
        let site = self.site_id(site)?;
        let path = format!("/sites/{site}/pages/{id}/microsoft.graph.sitePage");
        self.tenant.graph.patch(&path, &json!({ "title": title }))?;
        Ok(())
    }

    fn delete_page(&self, site: &str, name: &str) -> Result<()> {
        let id = self.page(site, name)?["id"]
            .as_str()
            .context("no id")?
            .to_owned();
        let site = self.site_id(site)?;
        self.tenant
            .graph
            .delete(&format!("/sites/{site}/pages/{id}"))?;
        Ok(())
    }

    /// Puts the picture that pages show where they show it from.
    fn hang_up(&self, site: &str) -> Result<()> {
        let drive = self.drive(site, "Site Assets")?;
        let path = format!("/drives/{drive}/root:/harbour.jpg:/content");
        self.tenant.graph.put(&path, HARBOUR.to_vec())?;
        Ok(())
    }

    /// Requests for pages since they were counted anew.
    fn page_requests(&self) -> Result<u64> {
        let requests = self.tenant.graph.requests()?;
        let routes = requests["by_route"].as_array().context("no routes")?;
        let of_pages = routes.iter().filter(|line| {
            let route = line["route"].as_str();
            route.is_some_and(|route| route.contains("/pages/"))
        });
        Ok(of_pages.filter_map(|line| line["count"].as_u64()).sum())
    }
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_kind_of_page_is_captured() -> Result<()> {
    let scene = scene()?;
    let first = scene.tenant.backup()?;
    ensure!(first["counts"]["failed"] == 0, "{:#}", first["failed"]);
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let folder = latest.join(FINANCE);
    let all = [
        "Classic.aspx",
        "Handbook.html",
        "Home.html",
        "Not-yet.html",
        "Welcome.html",
    ];
    ensure!(names(&folder)? == set(&all), "{:?}", names(&folder)?);
    let below = latest.join("Sites/Finance/Subsites/payroll/Pages");
    ensure!(names(&below)? == set(&["Classic.aspx", "Home.html", "Welcome.html"]));
    ensure!(!latest.join("Sites/Finance/Libraries/Site Pages").exists());

    let read = |name: &str| fs::read_to_string(folder.join(name));
    let welcome = read("Welcome.html")?;
    for part in [
        "<h1>Welcome to the new site</h1>",
        "<b>Please read.</b>",
        "<li>one</li>",
        "src=\"data:image/jpeg;base64,/9j/4CBhIGhhcmJvdXIgaW4gTWF5\" alt=\"The harbour\"",
        "<figcaption>The harbour in May</figcaption>",
        "/Lists/Assets\" rel=\"noopener noreferrer\">The list of assets</a>",
        "News post in SharePoint",
    ] {
        ensure!(welcome.contains(part), "{part}: {welcome}");
    }
    let handbook = read("Handbook.html")?;
    ensure!(
        handbook.contains("Org clock") && handbook.contains("On the side"),
        "{handbook}"
    );
    ensure!(read("Not-yet.html")?.contains("not published"));
    ensure!(!welcome.contains("<script") && !welcome.contains("src=\"http"));
    let drive = scene.drive("/sites/Finance", "Site Pages")?;
    let live = drives::files(&scene.tenant.graph, &drive)?;
    let classic = &live[Path::new("Classic.aspx")];
    let bytes = drives::content(&scene.tenant.graph, &drive, classic)?;
    ensure!(fs::read(folder.join("Classic.aspx"))? == bytes);
    // What Graph said of a page, whole.
    let records = latest.join(".tenantfs/graph").join(FINANCE);
    for (name, page) in scene.pages("/sites/Finance")? {
        let file = records.join(format!("{}.json", name.replace(".aspx", ".html")));
        let record: Value = serde_json::from_slice(&fs::read(file)?)?;
        ensure!(meaning(&record) == meaning(&page), "{name}: {record:#}");
    }
    scene.nothing_was_sent()
}

#[test]
fn a_cycle_fetches_the_pages_that_changed() -> Result<()> {
    let scene = scene()?;
    scene.tenant.backup()?;
    scene.tenant.graph.reset_requests()?;
    let idle = scene.tenant.backup()?;
    ensure!(idle["snapshot"].is_null(), "nothing had changed: {idle:#}");
    ensure!(scene.page_requests()? == 0);
    scene.change_title("/sites/Finance", "Home.aspx", "Start here")?;
    scene.tenant.graph.reset_requests()?;
    let changed = scene.tenant.backup()?;
    ensure!(changed["counts"]["updated"] == 1, "{:#}", changed["counts"]);
    ensure!(
        scene.page_requests()? == 1,
        "{:#}",
        scene.tenant.graph.requests()?
    );
    scene.delete_page("/sites/Finance", "Handbook.aspx")?;
    let removed = scene.tenant.backup()?;
    ensure!(removed["counts"]["removed"] == 1, "{:#}", removed["counts"]);
    scene
        .tenant
        .graph
        .control("expire-delta-tokens", &json!({}))?;
    scene.tenant.graph.reset_requests()?;
    let again = scene.tenant.backup()?;
    ensure!(again["snapshot"].is_null(), "{again:#}");
    ensure!(scene.page_requests()? == 0, "unchanged pages were fetched");
    // One that can't be had is told, and its last version stays.
    scene.change_title("/sites/Finance", "Home.aspx", "Broken")?;
    let broken = json!([{ "method": "GET", "route": "*/pages/*", "count": 0,
                          "fault": { "status": 403, "code": "accessDenied" } }]);
    scene.tenant.graph.control("faults", &broken)?;
    let failed = scene.tenant.backup()?;
    ensure!(failed["counts"]["failed"] == 1, "{:#}", failed["counts"]);
    let mount = scene.tenant.mount()?;
    let folder = mount.path("snapshots/latest").canonicalize()?.join(FINANCE);
    ensure!(fs::read_to_string(folder.join("Home.html"))?.contains("<h1>Start here</h1>"));
    ensure!(!folder.join("Handbook.html").exists());
    Ok(())
}

#[test]
fn deleted_pages_come_back_once() -> Result<()> {
    let scene = scene()?;
    let before = scene.meanings("/sites/Finance")?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    let drive = scene.drive("/sites/Finance", "Site Pages")?;
    let classic = drives::files(&scene.tenant.graph, &drive)?.len() - before.len();
    scene.empty(&drive)?;
    // One by hand, while some answers get lost; then all.
    let lost = json!([{ "method": "POST", "route": "*/pages", "count": 2,
                        "fault": { "status": 504, "after": true } }]);
    scene.tenant.graph.control("faults", &lost)?;
    let welcome = quote(&first.join(FINANCE).join("Welcome.html"));
    sh_ok(&mount.dir, &format!("cp {welcome} restore/{FINANCE}/"))?;
    ensure!(scene.pages("/sites/Finance")?.len() == 1);
    let from = quote(&first.join(FINANCE));
    let rsync = format!("rsync -rt --ignore-existing {from}/ restore/{FINANCE}/");
    sh_ok(&mount.dir, &rsync)?;
    let after = scene.meanings("/sites/Finance")?;
    ensure!(after.keys().eq(before.keys()), "{:?}", after.keys());
    for (name, page) in &before {
        if name != "Handbook.aspx" {
            ensure!(&after[name] == page, "{name}: {page:#} {:#}", after[name]);
        }
    }
    // What Graph does not make is there as a text that has all of it.
    let parts = |page: &Value| {
        page["canvasLayout"]["horizontalSections"][0]["columns"][1]["webparts"].clone()
    };
    let (was, now) = (
        parts(&before["Handbook.aspx"]),
        parts(&after["Handbook.aspx"]),
    );
    ensure!(now[0] == was[0]);
    let text = now[1]["innerHtml"].as_str().context("no text")?;
    ensure!(
        text.contains("Org clock") && text.contains("\"zone\": \"Europe/Oslo\""),
        "{text}"
    );
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(
        log.contains("Graph makes no web part of the kind Org clock"),
        "{log}"
    );
    ensure!(log.contains("so it is a draft"), "{log}");
    let files = drives::files(&scene.tenant.graph, &drive)?;
    ensure!(files.len() == before.len() + classic, "{:?}", files.keys());
    // Twice is once, by either way.
    sh_ok(&mount.dir, &rsync)?;
    let again = scene
        .tenant
        .json(&["restore", &format!("latest/{FINANCE}"), FINANCE])?;
    ensure!(again["restored"] == 0 && again["failed"] == 0, "{again:#}");
    ensure!(drives::files(&scene.tenant.graph, &drive)?.len() == files.len());
    // Captured again it shows the same.
    scene.tenant.backup()?;
    let second = scene.next_snapshot(&mount, &first)?;
    ensure!(names(&first.join(FINANCE))? == names(&second.join(FINANCE))?);
    let body = |root: &Path, name: &str| -> Result<String> {
        let html = fs::read_to_string(root.join(FINANCE).join(name))?;
        let body = html.split("</header>").nth(1).context("no body")?;
        Ok(body.to_owned())
    };
    for name in ["Home.html", "Welcome.html", "Not-yet.html"] {
        ensure!(body(&first, name)? == body(&second, name)?, "{name}");
    }
    scene.nothing_was_sent()
}

#[test]
fn pages_go_to_other_sites() -> Result<()> {
    let scene = scene()?;
    scene.hang_up("/sites/Marketing")?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    for site in ["/sites/Marketing", "/sites/Engineering"] {
        scene.delete_page(site, "Welcome.aspx")?;
    }
    for site in ["Marketing", "Engineering"] {
        let welcome = quote(&first.join(FINANCE).join("Welcome.html"));
        sh_ok(
            &mount.dir,
            &format!("cp {welcome} restore/Sites/{site}/Pages/"),
        )?;
    }
    let image = |site: &str| -> Result<Value> {
        let page = scene.page(site, "Welcome.aspx")?;
        Ok(
            page["canvasLayout"]["horizontalSections"][0]["columns"][0]["webparts"][0]["data"]
                .clone(),
        )
    };
    let source =
        |image: &Value| image["serverProcessedContent"]["imageSources"][0]["value"].clone();
    // Where the picture is there too, the page shows that one.
    let marketing = image("/sites/Marketing")?;
    let drive = scene.drive("/sites/Marketing", "Site Assets")?;
    let path = format!("/drives/{drive}/root:/harbour.jpg?$select=id,sharepointIds");
    let ids = scene.tenant.graph.get(&path)?["sharepointIds"].clone();
    ensure!(
        source(&marketing) == "/sites/Marketing/SiteAssets/harbour.jpg",
        "{marketing:#}"
    );
    for (name, id) in [
        ("siteId", "siteId"),
        ("webId", "webId"),
        ("uniqueId", "listItemUniqueId"),
    ] {
        ensure!(
            marketing["properties"][name] == ids[id],
            "{name}: {marketing:#} {ids:#}"
        );
    }
    let page = scene.page("/sites/Marketing", "Welcome.aspx")?;
    let thumbnail = page["thumbnailWebUrl"].as_str().context("no thumbnail")?;
    ensure!(
        thumbnail.ends_with("/sites/Marketing/SiteAssets/harbour.jpg"),
        "{thumbnail}"
    );
    // Where not, it shows the other site's, and says so.
    let engineering = image("/sites/Engineering")?;
    ensure!(source(&engineering) == "/sites/Finance/SiteAssets/harbour.jpg");
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(
        log.contains("this site has no SiteAssets/harbour.jpg"),
        "{log}"
    );

    // All of them, by command, to a subsite that has two of them: said first, then done.
    let target = "Sites/Finance/Subsites/payroll/Pages";
    let before = scene.meanings("/sites/Finance/payroll")?;
    let source = format!("latest/{FINANCE}");
    let plan = scene
        .tenant
        .json(&["restore", &source, target, "--dry-run"])?;
    ensure!(
        scene.meanings("/sites/Finance/payroll")? == before,
        "a dry run changed something"
    );
    let done = scene.tenant.json(&["restore", &source, target])?;
    for counted in [&plan, &done] {
        ensure!(
            counted["restored"] == 2 && counted["existing"] == 3,
            "{counted:#}"
        );
        ensure!(counted["failed"] == 0, "{counted:#}");
    }
    let after = scene.meanings("/sites/Finance/payroll")?;
    ensure!(after.len() == 4 && before.iter().all(|(name, page)| &after[name] == page));
    scene.nothing_was_sent()
}

#[test]
fn policies_hold_for_pages() -> Result<()> {
    let scene = scene()?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    let file = quote(&first.join(FINANCE).join("Home.html"));
    let cp = |policy: &str| {
        sh(
            &mount.dir,
            &format!("cp {file} 'restore/{policy}{FINANCE}/'"),
        )
    };
    let home = || scene.page("/sites/Finance", "Home.aspx");
    let original = home()?;
    scene.change_title("/sites/Finance", "Home.aspx", "Changed")?;
    let (ok, said) = cp("")?;
    ensure!(
        !ok && said.contains("exists") && home()?["title"] == "Changed",
        "{said}"
    );
    let (ok, said) = cp("@keep-both/")?;
    ensure!(ok && home()?["title"] == "Changed", "{said}");
    let twin = scene.page("/sites/Finance", "Home(1).aspx")?;
    ensure!(meaning(&twin) == meaning(&original), "{twin:#}");
    let (ok, said) = cp("@overwrite/")?;
    // The same page, with its history.
    ensure!(ok && home()?["id"] == original["id"], "{said}");
    ensure!(meaning(&home()?) == meaning(&original), "{:#}", home()?);
    // Classic pages are files, and policies of files hold.
    let classic = quote(&first.join(FINANCE).join("Classic.aspx"));
    let (ok, said) = sh(&mount.dir, &format!("cp {classic} restore/{FINANCE}/"))?;
    ensure!(!ok && said.contains("exists"), "{said}");
    sh_ok(
        &mount.dir,
        &format!("cp {classic} restore/@overwrite/{FINANCE}/"),
    )?;
    // The same by command.
    scene.change_title("/sites/Finance", "Home.aspx", "Changed again")?;
    let source = format!("latest/{FINANCE}/Home.html");
    let restore = |conflict: &str| {
        scene
            .tenant
            .json(&["restore", &source, FINANCE, "--conflict", conflict])
    };
    ensure!(restore("skip")?["existing"] == 1 && home()?["title"] == "Changed again");
    ensure!(restore("keep-both")?["restored"] == 1);
    ensure!(scene.page("/sites/Finance", "Home(2).aspx")?["title"] == original["title"]);
    ensure!(restore("overwrite")?["restored"] == 1);
    ensure!(meaning(&home()?) == meaning(&original));
    scene.nothing_was_sent()
}

#[test]
fn only_what_was_deleted_comes_back() -> Result<()> {
    let scene = scene()?;
    let before = scene.meanings("/sites/Finance")?;
    scene.tenant.backup()?;
    scene.delete_page("/sites/Finance", "Home.aspx")?;
    // Renamed is not deleted.
    let drive = scene.drive("/sites/Finance", "Site Pages")?;
    let file = scene
        .tenant
        .graph
        .get(&format!("/drives/{drive}/root:/Welcome.aspx"))?;
    let file = file["id"].as_str().context("no id")?;
    let path = format!("/drives/{drive}/items/{file}");
    scene
        .tenant
        .graph
        .patch(&path, &json!({ "name": "Hello.aspx" }))?;
    let source = format!("latest/{FINANCE}");
    let restore = |more: &[&str]| {
        let mut args = vec!["restore", source.as_str(), FINANCE, "--deleted-only"];
        args.extend(more);
        scene.tenant.json(&args)
    };
    let plan = restore(&["--dry-run"])?;
    ensure!(plan["restored"] == 1, "{plan:#}");
    ensure!(!scene.pages("/sites/Finance")?.contains_key("Home.aspx"));
    let done = restore(&[])?;
    ensure!(done["restored"] == 1 && done["failed"] == 0, "{done:#}");
    let after = scene.meanings("/sites/Finance")?;
    ensure!(after["Home.aspx"] == before["Home.aspx"]);
    ensure!(after.len() == before.len() && !after.contains_key("Welcome.aspx"));
    // A download is the files as the mount has them.
    let mount = scene.tenant.mount()?;
    let target = scene.tenant.path("pages");
    let target = target.to_str().context("no path")?;
    scene.tenant.json(&["restore", &source, target])?;
    let mounted = mount.path("snapshots/latest").canonicalize()?.join(FINANCE);
    sh_ok(
        &mount.dir,
        &format!("diff -r {} '{target}'", quote(&mounted)),
    )?;
    Ok(())
}

#[test]
fn a_crash_at_any_step_leads_to_one_page() -> Result<()> {
    let scene = scene()?;
    let before = scene.page("/sites/Finance", "Welcome.aspx")?;
    scene.tenant.backup()?;
    let steps = [
        ("POST", "*/pages", true),
        ("PATCH", "*/fields", true),
        ("POST", "*/publish", false),
    ];
    for (method, route, after) in steps {
        scene.delete_page("/sites/Finance", "Welcome.aspx")?;
        let mount = scene.tenant.mount()?;
        let late = json!([{ "method": method, "route": route, "count": 0,
                            "fault": { "status": 503, "retry_after": 30, "after": after } }]);
        scene.tenant.graph.control("faults", &late)?;
        let page = quote(
            &mount
                .path("snapshots/latest")
                .canonicalize()?
                .join(FINANCE)
                .join("Welcome.html"),
        );
        let (ok, _) = sh(
            &mount.dir,
            &format!("timeout 4 cp {page} restore/@queued/{FINANCE}/"),
        )?;
        ensure!(ok, "{route}: it was not queued");
        std::thread::sleep(Duration::from_secs(3));
        let dir = mount.kill()?;
        for dir in [dir.join("snapshots"), dir] {
            let _ = rustix::mount::unmount(&dir, rustix::mount::UnmountFlags::DETACH);
        }
        scene.tenant.graph.control("faults", &json!([]))?;
        let _mount = scene.tenant.mount()?;
        scene
            .wait_for_page(&before)
            .with_context(|| route.to_owned())?;
        let names: Vec<_> = scene.pages("/sites/Finance")?.into_keys().collect();
        ensure!(names.len() == 4, "{route}: {names:?}");
    }
    scene.nothing_was_sent()
}

impl Scene {
    fn wait_for_page(&self, wanted: &Value) -> Result<()> {
        for _ in 0..120 {
            let pages = self.pages("/sites/Finance")?;
            let there = pages.get("Welcome.aspx");
            if there.is_some_and(|page| meaning(page) == meaning(wanted)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        bail!(
            "it did not come: {:?}",
            self.pages("/sites/Finance")?.keys()
        )
    }
}

#[test]
fn pages_and_files_of_other_services_exchange() -> Result<()> {
    let scene = scene()?;
    let graph = &scene.tenant.graph;
    let alice = graph.mailboxes()?.remove(0);
    let onedrive = scene.onedrive(&alice)?;
    let html = "<html><head><title>Menu of the week</title></head><body><h2>Soup</h2>\
                <script>alert(1)</script></body></html>";
    let menu = format!("/drives/{onedrive}/root:/menu.html:/content");
    graph.put(&menu, html.as_bytes().to_vec())?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let home = latest.join(FINANCE).join("Home.html");
    let bytes = fs::read(&home)?;
    // A page is a file for a drive, and attached for a mailbox.
    for target in [
        format!("{alice}/OneDrive"),
        "Sites/Finance/Libraries/Documents".into(),
    ] {
        sh_ok(
            &mount.dir,
            &format!("cp {} 'restore/{target}/'", quote(&home)),
        )?;
    }
    let documents = scene.drive("/sites/Finance", "Documents")?;
    for drive in [&onedrive, &documents] {
        let path = format!("/drives/{drive}/root:/Home.html:/content");
        ensure!(graph.bytes(&path)? == bytes);
    }
    sh_ok(
        &mount.dir,
        &format!("cp {} 'restore/{alice}/Mail/Inbox/'", quote(&home)),
    )?;
    let inbox = format!("/users/{alice}/mailFolders/inbox/messages?$expand=attachments");
    let mails = graph.list(&inbox)?;
    let attached = mails
        .iter()
        .filter(|mail| mail["attachments"][0]["name"] == "Home.html");
    ensure!(attached.count() == 1, "{mails:#?}");
    // A file becomes a page with its text, once.
    let file = quote(&latest.join(&alice).join("OneDrive/menu.html"));
    sh_ok(&mount.dir, &format!("cp {file} restore/{FINANCE}/"))?;
    let page = scene.page("/sites/Finance", "menu.aspx")?;
    ensure!(page["title"] == "Menu of the week", "{page:#}");
    ensure!(page["publishingState"]["level"] == "published");
    let part = &page["canvasLayout"]["horizontalSections"][0]["columns"][0]["webparts"][0];
    ensure!(part["innerHtml"] == "<h2>Soup</h2>", "{part:#}");
    let (ok, _) = sh(&mount.dir, &format!("cp {file} restore/{FINANCE}/"))?;
    ensure!(!ok);
    // Another path is another name.
    sh_ok(
        &mount.dir,
        &format!("cp {} 'restore/{FINANCE}/Home of May.html'", quote(&home)),
    )?;
    let (other, own) = (
        scene.page("/sites/Finance", "Home of May.aspx")?,
        scene.page("/sites/Finance", "Home.aspx")?,
    );
    ensure!(meaning(&other) == meaning(&own));
    // What is no page is refused, and nothing of it comes through.
    let count = scene.pages("/sites/Finance")?.len();
    for (name, text) in [
        ("a.aspx", "<%@ Page %>"),
        ("b.txt", "b"),
        ("c.html", "<script>1</script>"),
    ] {
        let stray = scene.tenant.path(name);
        fs::write(&stray, text)?;
        let (ok, said) = sh(
            &mount.dir,
            &format!("cp {} restore/{FINANCE}/", quote(&stray)),
        )?;
        ensure!(!ok, "{name} was taken: {said}");
    }
    let (ok, _) = sh(&mount.dir, &format!("mkdir restore/{FINANCE}/Folder"))?;
    ensure!(!ok && scene.pages("/sites/Finance")?.len() == count);
    scene.nothing_was_sent()
}
