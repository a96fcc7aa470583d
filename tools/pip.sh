#!/bin/sh
# usage: tools/pip.sh DIR ARGUMENTS...
#
# Runs `uv pip install ARGUMENTS...` in the Python environment DIR, which it makes first if need be. uv comes from PATH, else from PyPI into DIR: its
# cache is what makes a second environment with torch take a second. $PYTHON is the Python that the environment is made with, $VENVFLAGS go to venv.
set -eu
dir=$1
shift
python=$dir/bin/python
if command -v uv >/dev/null; then
	uv=uv
	VENVFLAGS="${VENVFLAGS-} --without-pip"
else
	uv=$dir/bin/uv
fi
if ! "$python" -c '' 2>/dev/null; then
	# shellcheck disable=SC2086 # flags are words
	"${PYTHON:-python3}" -m venv --clear ${VENVFLAGS-} "$dir"
fi
if ! command -v "$uv" >/dev/null; then
	# An environment from when uv was on PATH has no pip.
	"$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null
	"$python" -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
fi
# uv brings its own list of authorities; where the system has one, that is the one to trust: a proxy's authority stands there. Older versions have the
# second name for it.
if [ -s /etc/ssl/certs/ca-certificates.crt ] || [ -s /etc/pki/tls/certs/ca-bundle.crt ]; then
	export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS-true}" UV_NATIVE_TLS="${UV_NATIVE_TLS-true}"
fi
exec "$uv" pip install --python "$python" "$@"
