#!/bin/sh
# Builds the image of a static backlog-trace: build.sh BINARY [NAME]. Needs buildah or podman.
set -eu
binary=${1:?"build.sh: no binary: run cargo xtask build and pass the path that it prints"}
name=${2:-localhost/backlog-trace}
here=$(cd "$(dirname "$0")" && pwd)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$binary" "$context/backlog-trace"
chmod 755 "$context/backlog-trace"
builder=$(command -v buildah || command -v podman) || {
    echo "build.sh: neither buildah nor podman is installed: install one of them" >&2
    exit 2
}
"$builder" build --file "$here/Containerfile" --tag "$name" "$context"
