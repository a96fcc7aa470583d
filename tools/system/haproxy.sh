#!/bin/sh
# usage: tools/system/haproxy.sh
#
# Three servers behind HAProxy, with its configuration of deploy/: what tools/system/haproxy.py says of them.
set -eu
cd "$(dirname "$0")/../.."
haproxy=$(PATH=$PATH:/usr/sbin command -v haproxy) || {
	echo "kantor needs haproxy for this (Debian: haproxy)" >&2
	exit 1
}
mkdir -p out/system
go build -o out/system/kantor ./cmd/kantor
exec .venv/bin/python tools/system/haproxy.py "$haproxy" out/system/kantor deploy/haproxy/haproxy.cfg
