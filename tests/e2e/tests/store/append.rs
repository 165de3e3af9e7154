//! A host that may add and not delete, and a store that holds it to that.

use anyhow::{Result, ensure};
use e2e::proxy::{Fault, Rule};
use e2e::text;
use graph_emulator::Options;

use super::{Stage, contents, noise};

#[test]
fn a_host_that_may_only_add_backs_up_and_deletes_nothing() -> Result<()> {
    let options = Options {
        accounts: 1,
        messages: 10,
        files: 3,
        ..Options::default()
    };
    let Some(stage) = Stage::start(1, options, "append_only = true\n")? else {
        return Ok(());
    };
    stage.proxy.set_rules(&[Rule {
        part: "DELETE ",
        fault: Fault::Answer(403, "AccessDenied"),
    }]);
    let first = stage.snapshot()?;
    let before = {
        let mount = stage.tenant.mount()?;
        contents(&mount.path("snapshots").join(&first))?
    };
    stage.put("new.bin", noise(1, 400_000))?;
    stage.proxy.take_requests();
    stage.snapshot()?;
    for request in stage.proxy.take_requests() {
        let own = ["/sessions/", "/claims/"];
        ensure!(
            !request.starts_with("DELETE ") || own.iter().any(|own| request.contains(own)),
            "{request}"
        );
        ensure!(!request.contains("/repository/inventory") || request.starts_with("GET "));
    }
    let refused = stage.tenant.run(&["rebuild-index"])?;
    let said = text(&refused.stderr);
    ensure!(
        refused.status.code() == Some(1) && said.contains("append_only"),
        "{said}"
    );
    let mount = stage.tenant.mount()?;
    ensure!(contents(&mount.path("snapshots").join(&first))? == before);
    drop(mount);
    stage.verify()
}
