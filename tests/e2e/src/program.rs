//! The program under test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::Result;

/// The `tenantfs` program of this build, built if it is not there yet.
pub fn tenantfs() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace", "--bin", "tenantfs"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let built = build.current_dir(root()).status().expect("cargo runs");
        assert!(built.success(), "tenantfs does not build");
        // target/debug/deps/TEST -> target/debug
        let test = std::env::current_exe().expect("this test has a path");
        let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
        profile.join("tenantfs")
    })
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Asks a process to end, and makes it end when it does not.
pub fn terminate(process: &mut Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(process.id() as i32) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if matches!(process.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = process.kill();
    let _ = process.wait();
}

/// Writes a file that only its owner can read.
pub fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, text)?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}
