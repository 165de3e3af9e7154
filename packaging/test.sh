#!/bin/sh
# Builds everything and passes the tests. Arguments go to `cargo test`.
#
# Tests that want the corpus, FUSE, Garage, or other people's Graph clients say why they are skipped where
# these are not to be had; with CI=true nothing may be skipped.
set -eu
cd "$(dirname "$0")/.."
packaging/setup.sh --test

# Both take long the first time, and go on beside the compiler; later there is nothing to do.
packaging/clients.sh &
clients=$!
packaging/garage.sh &
garage=$!
# Programs and tests at once: by themselves programs would be built with fewer features, all of it once more.
cargo build --workspace --all-targets --locked
wait "$clients" || true
wait "$garage" || true
PATH="$PWD/target/clients/bin:${CARGO_TARGET_DIR:-$PWD/target}/garage/bin:$PATH"
export PATH
# Many tests wait for something most of the time: a lock that runs out, a store that comes back.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
export RUST_TEST_THREADS
exec cargo test --workspace --locked "$@"
