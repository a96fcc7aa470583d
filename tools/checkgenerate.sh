#!/bin/sh
# Generates into a temporary directory and compares, so that it works with uncommitted changes and changes nothing.
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
go tool -modfile=tools/buf/go.mod buf generate -o "$fresh"
tools/contract.sh "$fresh/contract.binpb"
messages=clients/python/src/kantor/v1
# The kernels name the command that made them, so they are made by the same one in a copy of their folder, which `go generate` takes for no package.
kernels=losses/internal/vec
cp -r $kernels "$fresh/vec"
(cd "$fresh/vec/_asm" && go run . -out ../kernels_amd64.s -stubs ../stubs_amd64.go -pkg vec)
diff "$fresh/vec/kernels_amd64.s" $kernels/kernels_amd64.s && diff "$fresh/vec/stubs_amd64.go" $kernels/stubs_amd64.go &&
	cmp "$fresh/contract.binpb" eval/contract.binpb && diff -r "$fresh/gen" gen && diff -r -x __init__.py -x __pycache__ "$fresh/$messages" $messages || {
	echo "generated code is stale: run make generate" >&2
	exit 1
}
