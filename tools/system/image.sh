#!/bin/sh
# usage: tools/system/image.sh
#
# Builds the image for both platforms and runs what is in the one for this machine: as its user, in its root, with its entry point.
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/out/system/image
command -v buildah >/dev/null || {
	echo "kantor needs buildah for this (Debian: buildah)" >&2
	exit 1
}
rm -rf "$out/volume"
mkdir -p "$out/volume"
# A store of its own, on any file system.
buildah="buildah --storage-driver vfs --root $out/store --runroot $out/run"
BUILDER=$buildah VERSION=v0.0.0-test tools/image.sh

container=$($buildah from --platform "linux/$(go env GOARCH)" "oci-archive:$PWD/out/image/kantor.tar")
server=
clean() {
	if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
	$buildah rm "$container" >/dev/null
}
trap clean EXIT
inside() { $buildah run --isolation chroot --volume "$out/volume:/run/kantor" "$container" "$@"; }

echo "=== what the image says"
inside /kantor version | tee "$out/version"
grep -q '^kantor v0.0.0-test ' "$out/version"
config=$($buildah inspect --type container --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}} {{.OCIv1.Config.StopSignal}}' "$container")
[ "$config" = "65532:65532 [/kantor] [serve] SIGTERM" ] || {
	echo "the image's configuration is $config" >&2
	exit 1
}
go version -m out/image/linux-arm64/kantor | grep -q 'GOARCH=arm64'

echo "=== it serves as user 65532, on a socket in a volume"
chown 65532:65532 "$out/volume"
inside /kantor serve --listen unix:/run/kantor/socket >"$out/log" 2>&1 &
server=$!
inside /kantor health --address unix:/run/kantor/socket --timeout 20s
stat -c '%u %a %F' "$out/volume/socket" | tee "$out/socket"
grep -q '^65532 600 socket$' "$out/socket"
inside /kantor load --address unix:/run/kantor/socket --duration 1s --mix 64x16 --trainers 2 | sed -n 1,3p
echo "=== and ends by SIGTERM"
# buildah's own processes are around it.
process=$server
while child=$(pgrep -P "$process"); do process=$child; done
kill -TERM "$process"
wait "$server"
server=
grep -q stopped "$out/log" && tail -n 1 "$out/log"
