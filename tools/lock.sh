#!/bin/sh
# Pins the newest Python packages for every Python and platform that kantor supports. Addresses of registries stay out of the files.
set -eu
PATH=$PATH:$PWD/.venv/bin
compile() {
	uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-annotate --custom-compile-command "make lock" "$@"
}
client=clients/python
compile $client/pyproject.toml --group $client/pyproject.toml:dev -o $client/requirements-dev.txt
compile examples/vae/requirements.in $client/pyproject.toml -c $client/requirements-dev.txt -o examples/vae/requirements.txt
compile examples/vae/requirements-torch.in -c $client/requirements-dev.txt -o examples/vae/requirements-torch.txt
compile bench/requirements.in $client/pyproject.toml -c $client/requirements-dev.txt -o bench/requirements.txt
