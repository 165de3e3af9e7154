//! What the packages bring beside the program.

/// In a mount namespace of its own the mount would be seen by the daemon alone, and a policy for devices
/// closes `/dev/fuse`: systemd.exec(5), systemd.resource-control(5).
const HIDES_THE_MOUNT: [&str; 44] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "DeviceAllow",
    "DevicePolicy",
    "DynamicUser",
    "ExecPaths",
    "ExtensionDirectories",
    "ExtensionImages",
    "InaccessiblePaths",
    "JoinsNamespaceOf",
    "LogNamespace",
    "MountAPIVFS",
    "MountFlags",
    "MountImages",
    "NetworkNamespacePath",
    "NoExecPaths",
    "PrivateBPF",
    "PrivateDevices",
    "PrivateIPC",
    "PrivateMounts",
    "PrivateNetwork",
    "PrivatePIDs",
    "PrivateTmp",
    "PrivateUsers",
    "ProcSubset",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyDirectories",
    "ReadOnlyPaths",
    "ReadWriteDirectories",
    "ReadWritePaths",
    "RootDirectory",
    "RootEphemeral",
    "RootHash",
    "RootImage",
    "RootVerity",
    "TemporaryFileSystem",
];

/// (setting, value) of each line of the unit.
fn settings() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("../../packaging/systemd/tenantfs.service")
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
}

fn value(setting: &str) -> &'static str {
    let found = settings().find(|(name, _)| *name == setting);
    found.map_or("", |(_, value)| value)
}

#[test]
fn everybody_sees_the_mount_of_the_service() {
    assert_eq!(value("Type"), "notify", "the unit is read");
    for (name, value) in settings() {
        assert!(!HIDES_THE_MOUNT.contains(&name), "{name}={value}");
    }
}

/// A mountpoint that turns empty makes a mirror delete its target.
#[test]
fn nothing_unmounts_what_a_crash_left() {
    for (name, value) in settings() {
        assert!(!value.contains("umount"), "{name}={value}");
    }
}

#[test]
fn the_service_may_mount_and_look_into_processes() {
    let has = value("CapabilityBoundingSet").split(' ');
    let has: Vec<&str> = has.collect();
    for needed in ["CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"] {
        assert!(has.contains(&needed), "{needed}: {has:?}");
    }
    assert!(!has[0].starts_with('~'), "it names what is left");
}
