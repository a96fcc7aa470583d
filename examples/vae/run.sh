#!/bin/sh
# What `make example` runs, from the root of the checkout, once bin/kantor and the small packages are there.
set -eu
here=examples/vae
out=out
python=$here/.venv/bin/python

echo
echo "How far are handwritten threes from eights? scikit-learn's 8x8 digits, clouds in 64 dimensions:"
"$python" $here/digits.py $out
set -- eval --source $out/threes.npy --target $out/eights.npy --term sinkhorn:blur=0.5
echo "\$ bin/kantor $*"
bin/kantor "$@"
echo "The exact value lies between lower and upper."
echo

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
exec "$python" $here/train.py --out $out
