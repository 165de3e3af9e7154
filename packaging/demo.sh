#!/bin/sh
# Builds tenantfs and runs the demo: a sample tenant, two snapshots, a mount, a guided tour.
set -eu
cd "$(dirname "$0")/.."
packaging/setup.sh
exec cargo run --release --locked -- demo "$@"
