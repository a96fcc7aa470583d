#!/bin/sh
# usage: tools/wheels.sh DIR [GOOS/GOARCH...]
#
# Builds a wheel of the Python client with the server inside for each platform, without one for this machine, and leaves it in DIR.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
case $1 in
/*) dir=$1 ;;
*) dir=$PWD/$1 ;;
esac
shift
cd "$root"
PATH=$PATH:$root/.venv/bin # uv, where it is not on PATH
tools/pip.sh out/hatchling --quiet 'hatchling>=1.26'
cd clients/python
build() { ../../out/hatchling/bin/python -m hatchling build -t wheel -d "$dir"; }
[ $# -gt 0 ] || build
for target; do
	GOOS=${target%/*} GOARCH=${target#*/} build
done
