//! What running a program costs: wall time, CPU time, memory at its peak.
//!
//! The program is run by a small one of ours (`bench cost PROGRAM ...`) that has no other child: what the
//! kernel says of its children is then of this one, and a program's peak does not begin with the memory
//! of whoever started it.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};

use crate::CostArgs;

/// Of one program, or of several that were run one after the other.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    pub wall_s: f64,
    /// User and system.
    pub cpu_s: f64,
    pub peak_mb: f64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.wall_s += other.wall_s;
        self.cpu_s += other.cpu_s;
        self.peak_mb = self.peak_mb.max(other.peak_mb);
    }
}

/// Runs a program to its end, and fails if it does.
pub fn of(command: &Command) -> Result<Cost> {
    let mut outer = Command::new(std::env::current_exe()?);
    outer
        .arg("cost")
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        outer.current_dir(dir);
    }
    let output = outer.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    serde_json::from_slice(&output.stdout).context("no cost was told")
}

/// The small program: runs what it is told to, and says on its standard output what that took.
pub fn run(args: &CostArgs) -> Result<()> {
    let (program, arguments) = args.command.split_first().context("no program")?;
    let begin = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status()?;
    let wall_s = begin.elapsed().as_secs_f64();
    ensure!(status.success(), "{status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time() + usage.system_time();
    let cost = Cost {
        wall_s,
        cpu_s: cpu.num_microseconds() as f64 / 1e6,
        peak_mb: usage.max_rss() as f64 * 1024.0 / 1e6,
    };
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}
