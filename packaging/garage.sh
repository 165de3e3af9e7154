#!/bin/sh
# Builds Garage, the object store that tests talk to, into target/garage. Once: that takes many minutes
# of a processor's time. Says so and fails where it cannot.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
[ ! -x "$target/garage/bin/garage" ] || exit 0

# Its code is not for us to check.
unset RUSTC_WORKSPACE_WRAPPER
# What its own release profile adds would more than double the time and serves no test.
CARGO_PROFILE_RELEASE_LTO=false
CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64
CARGO_PROFILE_RELEASE_OPT_LEVEL=0
CARGO_TARGET_DIR=$target/garage/build
# But what reads every byte that is stored: hashes, and compression.
set --
for package in blake2 digest md-5 sha2 zstd-sys; do
    set -- "$@" --config "profile.release.package.$package.opt-level=3"
done
export CARGO_PROFILE_RELEASE_LTO CARGO_PROFILE_RELEASE_CODEGEN_UNITS CARGO_PROFILE_RELEASE_OPT_LEVEL CARGO_TARGET_DIR
if ! nice -n 19 cargo install "$@" garage --version 2.5.0 --locked --quiet --no-default-features \
    --features "bundled-libs sqlite" --root "$target/garage"; then
    echo "Garage could not be built; its tests will say so" >&2
    exit 1
fi
rm -rf "$target/garage/build"
