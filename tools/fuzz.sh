#!/bin/sh
# Runs every fuzz target for a time, one after the other: tools/fuzz.sh 30s
set -eu
cd "$(dirname "$0")/.."
for package in $(go list ./...); do
    for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
        echo "=== $package $target"
        go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "${1:?how long each}"
    done
done
