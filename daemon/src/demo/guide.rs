//! What the demo says.

use std::path::Path;

use graph_emulator::Running;

/// One sentence before what it announces.
pub fn say(text: &str) {
    println!("\n{text}");
}

/// The tour is over, the mount stays.
pub fn invite(mountpoint: &Path, emulator: &Running) {
    let mount = mountpoint.display();
    println!(
        "\nIt stays mounted for you to play with, in another terminal:\n\
         \n    cd {mount}\n\
         \n    ls snapshots/latest/                        who is there\
         \n    cat snapshots/latest/.tenantfs/report.json  what was captured\
         \n    cp -r SOMETHING restore/SOMEWHERE/          put something back\
         \n    cat restore/.log                            why something was refused\n\
         \nMicrosoft Graph of this tenant answers at {}. Ctrl-C ends the demo.",
        emulator.url
    );
}
