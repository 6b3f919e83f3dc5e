#!/usr/bin/env bash
# The official OpenAI clients, unmodified, against a running endpoint.
#
#   tests/clients/run.sh BASE_URL KEY [keyed]
#
# BASE_URL as a client gets it (http://127.0.0.1:8443/v1), KEY any text where none is needed;
# `keyed` adds that a wrong key must fail. The clients are installed at their pinned versions into
# target/clients, once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
room=${CARGO_TARGET_DIR:-$here/../../target}/clients
base_url=${1:?usage: run.sh BASE_URL KEY [keyed]}
key=${2:?usage: run.sh BASE_URL KEY [keyed]}
keyed=${3:-open}
mkdir -p "$room/node"

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

"$room/python/bin/python" "$here/python/check.py" "$base_url" "$key" "$keyed"
node "$room/node/check.mjs" "$base_url" "$key" "$keyed"
