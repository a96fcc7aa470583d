#!/bin/sh
# usage: tools/goals.sh [FLAGS OF kantor load...]
#
# Starts a server and measures what it is held to: how much of its processor time is computing, what a small request suffers beside a large one, how fast it refuses
# what is too much. Wants a machine with nothing else to do.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkfifo "$folder/ready"
bin/kantor serve --listen "unix:$folder/socket" --admin "unix:$folder/admin" --log-level error >"$folder/ready" &
server=$!
trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT
read -r _ <"$folder/ready"
bin/kantor load --goals --address "unix:$folder/socket" --admin "unix:$folder/admin" "$@"
