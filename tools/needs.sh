#!/bin/sh
# Says what is missing of the few things that the build cannot bring itself, all of them at once, each with the Debian package that has it.
set -u
python=${PYTHON:-python3}
missing=0
need() {
	echo "kantor needs $1" >&2
	missing=1
}

# Any Go since 1.21 fetches the toolchain that go.mod names, unless GOTOOLCHAIN forbids it; then `go env` in this directory fails.
if ! command -v go >/dev/null; then
	need "Go 1.26 or newer on PATH (from https://go.dev/dl; or Debian: golang-go, with GOTOOLCHAIN=auto)"
elif ! go env GOVERSION >/dev/null 2>&1 || ! go list -m >/dev/null 2>&1; then
	need "Go 1.26 or newer, or one since 1.21 that may fetch it (GOTOOLCHAIN=auto); this one says: $(go list -m 2>&1 | head -n 1)"
fi
if ! command -v "$python" >/dev/null; then
	need "Python 3.10 or newer (Debian: python3 and python3-venv)"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
	need "Python 3.10 or newer; $python is $("$python" -V 2>&1)"
elif ! "$python" -c 'import venv' 2>/dev/null || { ! command -v uv >/dev/null && ! "$python" -c 'import ensurepip' 2>/dev/null; }; then
	need "Python's venv module with pip (Debian: python3-venv), or uv on PATH"
fi
if [ "${1-}" = test ] && ! command -v "$(go env CC 2>/dev/null || echo cc)" >/dev/null; then
	need "a C compiler for Go's race detector (Debian: build-essential)"
fi
if [ "${1-}" = test ] && ! command -v openssl >/dev/null; then
	need "openssl, which makes certificates for the tests (Debian: openssl)"
fi
command -v git >/dev/null || need "git, from which the build takes its revision (Debian: git)"
exit $missing
