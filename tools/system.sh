#!/bin/sh
# usage: tools/system.sh [PART...]
#
# Runs what needs more of a system than a build does, each part by itself: arm64, and those of tools/system. A part that misses a package names it and fails;
# none is skipped.
set -u
cd "$(dirname "$0")/.."

if [ $# = 0 ]; then
	set -- arm64
	for script in tools/system/*.sh; do
		set -- "$@" "$(basename "$script" .sh)"
	done
fi

failed=
for part in "$@"; do
	script=tools/system/$part.sh
	if [ "$part" = arm64 ]; then
		script=tools/arm64.sh
	fi
	if [ ! -x "$script" ]; then
		echo "there is no part $part" >&2
		exit 2
	fi
	echo "=== $part"
	"$script" || failed="$failed $part"
done
if [ -n "$failed" ]; then
	echo "failed:$failed" >&2
	exit 1
fi
echo "passed: $*"
