#!/bin/sh
# usage: tools/image.sh [PLATFORM...]
#
# Builds the image of `kantor serve` for linux/amd64 and linux/arm64 into out/image/kantor.tar, an archive as `docker load`, `podman load`, `skopeo copy
# oci-archive:` and `apptainer build … oci-archive://` take it. The programs are cross-compiled here; deploy/image/Dockerfile only copies them, so no network is
# needed and nothing is emulated. $BUILDER is buildah's or podman's command,
# $VERSION what the program says that it is.
set -eu
cd "$(dirname "$0")/.."
out=$PWD/out/image
[ $# -gt 0 ] || set -- linux/amd64 linux/arm64
builder=${BUILDER:-$(command -v buildah || command -v podman)} || {
	echo "kantor needs buildah or podman for images (Debian: buildah); with docker: docker buildx build --file deploy/image/Dockerfile out/image" >&2
	exit 1
}
for platform; do
	folder=$out/$(echo "$platform" | tr / -)
	mkdir -p "$folder"
	CGO_ENABLED=0 GOOS=${platform%/*} GOARCH=${platform#*/} go build -trimpath -ldflags "-s -w -X main.version=${VERSION:-dev}" -o "$folder/kantor" ./cmd/kantor
done
platforms=$(echo "$*" | tr ' ' ,)
$builder rmi --force kantor:dev >/dev/null 2>&1 || true # what was built before, or read from an archive
# A timestamp of its own would make every build another image.
$builder build --isolation chroot --quiet --timestamp 0 --platform "$platforms" --manifest kantor:dev --file deploy/image/Dockerfile "$out"
rm -f "$out/kantor.tar"
$builder manifest push --quiet --all kantor:dev "oci-archive:$out/kantor.tar:kantor:dev"
echo "$out/kantor.tar: $platforms, $(wc -c <"$out/kantor.tar") bytes"
