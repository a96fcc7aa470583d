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

$here/torch.sh
exec "$python" $here/train.py --out $out
