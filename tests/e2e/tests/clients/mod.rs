//! rclone, Microsoft's Python SDK and vdirsyncer do their own work against the emulator, unmodified.

mod vdirsyncer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, UNIX_EPOCH};

use e2e::clients::{self, Certificates, Need, Realm, succeed};
use e2e::{Recorded, Tenant};
use graph_emulator::Options;
use serde_json::Value;
use tempfile::TempDir;

/// An emulator in a realm.
struct World {
    emulator: Recorded,
    realm: Realm,
}

impl World {
    fn new(options: Options) -> World {
        let certificates = Certificates::make().unwrap();
        let emulator = certificates.emulator(options).unwrap();
        let realm = Realm::new(certificates, &emulator.url).unwrap();
        World { emulator, realm }
    }

    /// The id of a user's drive, asked for as a client would.
    fn drive_of(&self, user: &str) -> String {
        let url = format!("{}/v1.0/users/{user}/drive", self.emulator.url);
        let mut curl = Command::new("python3");
        curl.args(["-c", "import ssl,sys,urllib.request as u\nr=u.Request(sys.argv[1],headers={'Authorization':'Bearer '+sys.argv[2]})\nprint(u.urlopen(r,context=ssl.create_default_context(cafile=sys.argv[3])).read().decode())"]);
        curl.arg(url)
            .arg(graph_emulator::STATIC_TOKEN)
            .arg(self.realm.certificates().ca());
        let drive: Value = serde_json::from_str(&succeed(&mut curl)).unwrap();
        drive["id"].as_str().unwrap().to_owned()
    }
}

/// A tree with what drives have: depth, odd names, empty and larger files, old times.
fn tree() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let big: Vec<u8> = (0..2_500_000u32)
        .flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    let files: &[(&str, &[u8])] = &[
        ("empty.txt", b""),
        ("Documents/budget 2026.xlsx", b"not really a spreadsheet"),
        ("Documents/100% & more #1; it's.txt", b"odd"),
        (
            "Documents/\u{65e5}\u{672c}\u{8a9e}/\u{1f4c8}.txt",
            "unicode".as_bytes(),
        ),
        ("a/b/c/d/e/f/deep.bin", &big[..70_000]),
        ("big.bin", &big),
    ];
    for (i, (name, bytes)) in files.iter().enumerate() {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(1_300_000_000 + 86_400 * i as u64);
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    dir
}

/// Paths with sizes and times (whole seconds) of all files below a directory.
fn listing(root: &Path) -> BTreeMap<PathBuf, (u64, u64)> {
    let mut out = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                left.push(entry.path());
            } else {
                let time = meta
                    .modified()
                    .unwrap()
                    .duration_since(UNIX_EPOCH)
                    .unwrap()
                    .as_secs();
                out.insert(
                    entry.path().strip_prefix(root).unwrap().to_owned(),
                    (meta.len(), time),
                );
            }
        }
    }
    out
}

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn rclone_reads_a_drive() {
    if !clients::ready(&[Need::Rclone]) {
        return;
    }
    let source = tree();
    let world = World::new(Options {
        messages: 0,
        files: 0,
        import_files: vec![source.path().to_owned()],
        ..Options::default()
    });
    let rclone = world
        .realm
        .rclone(&world.emulator, &world.drive_of("alice@contoso.com"))
        .unwrap();
    let listed = rclone.run(["lsf", "-R", "--files-only", "od:"]);
    let expected: Vec<String> = listing(source.path())
        .into_keys()
        .map(|p| p.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(lines(&listed), expected);
    // The same by delta.
    assert_eq!(
        lines(&rclone.run(["lsf", "-R", "--files-only", "--onedrive-delta", "od:"])),
        expected
    );
    let copy = tempfile::tempdir().unwrap();
    rclone.run(["copy".as_ref(), "od:".as_ref(), copy.path().as_os_str()]);
    assert_eq!(
        listing(copy.path()),
        listing(source.path()),
        "names, sizes and times"
    );
    // By hash, and byte for byte.
    rclone.run(["check".as_ref(), source.path().as_os_str(), "od:".as_ref()]);
    rclone.run([
        "check".as_ref(),
        "--download".as_ref(),
        source.path().as_os_str(),
        "od:".as_ref(),
    ]);
    let json: Value = serde_json::from_str(&rclone.run([
        "lsjson",
        "-M",
        "--hash",
        "--onedrive-metadata-permissions",
        "read",
        "od:Documents",
    ]))
    .unwrap();
    let budget = json
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["Name"] == "budget 2026.xlsx")
        .unwrap();
    assert!(budget["Hashes"]["quickxor"].is_string());
    assert!(
        budget["Metadata"]["permissions"]
            .as_str()
            .unwrap()
            .contains("owner")
    );
}

#[test]
fn rclone_writes_a_drive() {
    if !clients::ready(&[Need::Rclone]) {
        return;
    }
    let source = tree();
    let world = World::new(Options {
        messages: 0,
        files: 0,
        ..Options::default()
    });
    let rclone = world
        .realm
        .rclone(&world.emulator, &world.drive_of("alice@contoso.com"))
        .unwrap();
    let up = |arguments: &[&str]| {
        let mut all: Vec<&std::ffi::OsStr> = arguments.iter().map(std::ffi::OsStr::new).collect();
        all.insert(1, source.path().as_os_str());
        rclone.run(all)
    };
    // Ten fragments and a rest for the big one.
    up(&["copy", "od:new", "--onedrive-chunk-size", "960k"]);
    up(&["check", "od:new"]);
    up(&["check", "od:new", "--download"]);
    // The small ones in single requests.
    up(&["copy", "od:small", "--onedrive-upload-cutoff", "4M"]);
    up(&["check", "od:small", "--download"]);
    // Times survive: nothing is left to do.
    let again = rclone
        .command(["copy", "-v"])
        .arg(source.path())
        .arg("od:new")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        again.status.success() && said.contains("There was nothing to transfer"),
        "{said}"
    );
    // Changes on the server's side: copy, move, rename, delete.
    rclone.run(["copyto", "od:new/big.bin", "od:copies/big.bin"]);
    rclone.run(["moveto", "od:new/a", "od:moved/a"]);
    rclone.run(["moveto", "od:new/empty.txt", "od:new/renamed.txt"]);
    rclone.run(["deletefile", "od:new/Documents/budget 2026.xlsx"]);
    rclone.run(["mkdir", "od:made"]);
    rclone.run(["purge", "od:small"]);
    let left = rclone.run(["lsf", "-R", "--files-only", "od:"]);
    let documents = "new/Documents";
    let mut expected = vec![
        "copies/big.bin".to_owned(),
        "moved/a/b/c/d/e/f/deep.bin".to_owned(),
        format!("{documents}/100% & more #1; it's.txt"),
        format!("{documents}/\u{65e5}\u{672c}\u{8a9e}/\u{1f4c8}.txt"),
        "new/big.bin".to_owned(),
        "new/renamed.txt".to_owned(),
    ];
    expected.sort();
    assert_eq!(lines(&left), expected);
    // A second version, and the first one again.
    std::fs::write(
        source.path().join("Documents/100% & more #1; it's.txt"),
        b"odd, changed",
    )
    .unwrap();
    up(&["copy", "od:new", "--include", "/Documents/100*"]);
    assert_eq!(
        rclone.run(["cat", "od:new/Documents/100% & more #1; it's.txt"]),
        "odd, changed"
    );
    assert!(rclone.run(["about", "od:"]).contains("Total"));
}

#[test]
fn the_python_sdk_walks_the_tenant() {
    if !clients::ready(&[Need::PythonSdk]) {
        return;
    }
    let options = Options {
        accounts: 3,
        messages: 120,
        files: 150,
        ..Options::default()
    };
    let world = World::new(options);
    let mut walk = world.realm.command("python3");
    walk.arg(clients::programs().join("walk.py"));
    walk.args([
        &world.emulator.tenant,
        &world.emulator.client_id,
        &world.emulator.client_secret,
    ]);
    let seen: BTreeMap<String, u64> = serde_json::from_str(&succeed(&mut walk)).unwrap();
    println!("{seen:?}");
    assert_eq!(
        seen["users"], 6,
        "three accounts, the shared mailbox, a guest, a user without mailbox"
    );
    assert_eq!(seen["drives"], 3);
    // Some of the 120 were deleted, and are where no listing of folders leads.
    assert!((100..=120).contains(&seen["messages"]));
    assert_eq!(seen["files"] + seen["malware"], 150);
    assert!(
        seen["mime"] > 0 && seen["downloads"] > 0 && seen["notebooks"] > 0 && seen["shortcuts"] > 0
    );
}

/// The drive as somebody else's client reads it is what the mount shows, name by name and byte by
/// byte: in the first snapshot, and after changes in the next.
#[test]
fn rclone_finds_the_mounted_drive_to_be_the_drive() {
    if !clients::ready(&[Need::Rclone]) {
        return;
    }
    let source = tree();
    let certificates = Certificates::make().unwrap();
    let ca = certificates.ca();
    let emulator = certificates
        .emulator(Options {
            accounts: 1,
            messages: 10,
            files: 0,
            import_files: vec![source.path().to_owned()],
            ..Options::default()
        })
        .unwrap();
    let realm = Realm::new(certificates, &emulator.url).unwrap();
    let tenant = Tenant::of(emulator, Some(ca), "[protect]\nworkloads = [\"drive\"]\n").unwrap();
    let upn = "alice@contoso.com";
    let drive = tenant.graph.get(&format!("/users/{upn}/drive")).unwrap();
    let rclone = realm
        .rclone(&tenant.emulator, drive["id"].as_str().unwrap())
        .unwrap();
    tenant.backup().unwrap();
    let mount = tenant.mount().unwrap();
    let latest = || mount.path("snapshots/latest").canonicalize().unwrap();
    let agree = |files: usize| {
        let shown = latest().join(upn).join("OneDrive");
        assert_eq!(listing(&shown).len(), files);
        rclone.run([
            "check".as_ref(),
            "--download".as_ref(),
            shown.as_os_str(),
            "od:".as_ref(),
        ]);
    };
    let files = listing(source.path()).len();
    agree(files);

    let first = latest();
    let uploaded = source.path().join("big.bin");
    rclone.run([
        "copyto".as_ref(),
        uploaded.as_os_str(),
        "od:a/b/large.bin".as_ref(),
    ]);
    rclone.run(["moveto", "od:Documents", "od:Papers"]);
    rclone.run(["deletefile", "od:empty.txt"]);
    tenant.backup().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while latest() == first {
        assert!(Instant::now() < deadline, "the next snapshot never showed");
        std::thread::sleep(Duration::from_millis(50));
    }
    agree(files);
}
