#!/bin/sh
# Installs what building (and, with --test, testing) needs on Debian or Ubuntu.
# Does nothing that is done already, so it is cheap to call every time.
set -eu

packages="gcc libc6-dev make fuse3 ca-certificates"
if [ "${1:-}" = "--test" ]; then
    packages="$packages rsync restic openssl iproute2 python3 python3-venv"
fi

missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
        missing="$missing $package"
done
if [ -n "$missing" ]; then
    as_root=""
    [ "$(id -u)" -eq 0 ] || as_root="sudo"
    echo "installing:$missing" >&2
    $as_root apt-get update -q >&2
    # shellcheck disable=SC2086 # words on purpose
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -yq --no-install-recommends $missing >&2
fi

if ! command -v cargo >/dev/null 2>&1; then
    if [ -x "$HOME/.cargo/bin/cargo" ]; then
        echo "add $HOME/.cargo/bin to your PATH" >&2
        exit 1
    fi
    # Debian 13 packages rustup; Debian 12 does not, and its own Rust is too old.
    if apt-cache show rustup >/dev/null 2>&1; then
        as_root=""
        [ "$(id -u)" -eq 0 ] || as_root="sudo"
        $as_root apt-get install -yq --no-install-recommends rustup >&2
        rustup default stable >&2
    else
        echo "tenantfs needs Rust 1.91 or newer: install it with rustup (https://rustup.rs)" >&2
        exit 1
    fi
fi
