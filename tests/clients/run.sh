#!/usr/bin/env bash
# The official OpenAI clients, unmodified, against an endpoint.
#
#   tests/clients/run.sh                          a cluster of the demo model, started for this
#   tests/clients/run.sh BASE_URL KEY [keyed]     a running one
#
# BASE_URL as a client gets it (http://127.0.0.1:8443/v1), KEY any text where none is needed;
# `keyed` adds that a wrong key must fail. The clients are installed at their pinned versions into
# target/clients, once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
room=$target/clients
mkdir -p "$room/node"

install() {
  if ! cmp -s "$here/python/requirements.txt" "$room/python/requirements.txt"; then
    rm -rf "$room/python"
    python3 -m venv "$room/python"
    "$room/python/bin/pip" install --quiet --disable-pip-version-check \
      --requirement "$here/python/requirements.txt"
    cp "$here/python/requirements.txt" "$room/python/"
  fi
  if ! cmp -s "$here/node/package-lock.json" "$room/node/installed-lock.json"; then
    cp "$here/node/package.json" "$here/node/package-lock.json" "$room/node/"
    (cd "$room/node" && npm ci --silent --no-audit --no-fund)
    cp "$here/node/package-lock.json" "$room/node/installed-lock.json"
  fi
  # The script runs where its module was installed.
  cp "$here/node/check.mjs" "$room/node/"
}

check() {
  "$room/python/bin/python" "$here/python/check.py" "$@"
  node "$room/node/check.mjs" "$@"
}

# Leaves a cluster running as process $cluster, its API on $port.
start_cluster() {
  (cd "$root" && cargo build --quiet --workspace --bins --locked)
  port=$(python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
  "$target/debug/trireme" up --port "$port" </dev/null >"$room/cluster.log" 2>&1 &
  cluster=$!
  trap 'kill -TERM "$cluster" 2>/dev/null; wait "$cluster" || true' EXIT
  for _ in $(seq 600); do
    if python3 -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=2)' \
      "http://127.0.0.1:$port/readyz" 2>/dev/null; then
      return
    fi
    kill -0 "$cluster" 2>/dev/null || break
    sleep 0.5
  done
  echo "the cluster did not become ready:" >&2
  tail -n 20 "$room/cluster.log" >&2
  exit 1
}

install
if [ $# -eq 0 ]; then
  start_cluster
  check "http://127.0.0.1:$port/v1" none open
else
  check "${1:?BASE_URL}" "${2:?KEY}" "${3:-open}"
fi
