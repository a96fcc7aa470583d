#!/bin/sh
# Generates into a temporary directory and compares, so that it works with uncommitted changes and changes nothing.
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
go tool -modfile=tools/buf/go.mod buf generate -o "$fresh"
messages=clients/python/src/kantor/v1
diff -r "$fresh/gen" gen && diff -r -x __init__.py -x __pycache__ "$fresh/$messages" $messages || {
	echo "generated code is stale: run make generate" >&2
	exit 1
}
