#!/bin/sh
# usage: tools/arm64.sh [--build]
#
# Runs the Go tests as an arm64 machine does, where there is no assembly and the compiler fuses multiplications with additions, so that roundings are
# others. With --build it only makes the programs, under out/arm64.
set -eu
cd "$(dirname "$0")/.."
out=$PWD/out/arm64
packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./losses/... ./server ./eval)

emulator=
if [ "${1-}" != --build ] && [ "$(uname -s)-$(uname -m)" != Linux-aarch64 ]; then
	emulator=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || {
		echo "kantor needs an emulator of arm64 for this (Debian: qemu-user-static), or Linux on arm64" >&2
		exit 1
	}
fi

rm -rf "$out"
mkdir -p "$out"
# shellcheck disable=SC2086 # packages are words
CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go test -c -o "$out/" $packages
if [ "${1-}" = --build ]; then
	exit 0
fi

failed=0
for package in $packages; do
	program=$out/$(basename "$package").test
	echo "=== ${package#"$PWD/"}"
	# Tests read files beside them. Ten times what the slowest takes is a test that hangs.
	(cd "$package" && exec $emulator "$program" -test.timeout=20m) || failed=1
done
exit $failed
