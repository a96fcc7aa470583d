#!/bin/sh
# Sees to it that the example's Python has torch; runs from the root of the checkout.
set -eu
here=examples/vae
python=$here/.venv/bin/python

# The caller's torch, if python3 has one, is as good: its packages are looked at after the environment's own.
works='import numpy, torch; torch.from_numpy(numpy.zeros(1)); print("torch", torch.__version__, "of", torch.__path__[0])'
if ! "$python" -c "$works" 2>/dev/null; then
	paths=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/caller.pth
	"${PYTHON:-python3}" -c 'import sys; print(*(p for p in sys.path if p.endswith("-packages")), sep="\n")' >"$paths"
	if ! "$python" -c "$works" 2>/dev/null; then
		rm "$paths"
		echo "python3 has no torch. Downloading it from PyPI: on Linux about 3 GB, because it comes with CUDA's libraries."
		tools/pip.sh $here/.venv --requirement $here/requirements-torch.txt
		"$python" -c "$works"
	fi
fi
