#!/bin/sh
# usage: tools/system/tools.sh
#
# Other people's programs against `kantor serve`, as they are: grpcurl, ghz and grpc-health-probe.
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/out/system/tools
mkdir -p "$out"
go build -o "$out/kantor" ./cmd/kantor
GOBIN=$out go -C tools/deploy install github.com/bojand/ghz/cmd/ghz github.com/grpc-ecosystem/grpc-health-probe
GOBIN=$out go -C tools install github.com/fullstorydev/grpcurl/cmd/grpcurl

rm -f "$out/ready"
mkfifo "$out/ready"
"$out/kantor" serve --listen 127.0.0.1:0 --log-level error >"$out/ready" &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
read -r line <"$out/ready"
address=${line##* }
request='{"objective": {"terms": [{"kl": {}}], "gradients": ["posterior.mean"]}, "inputs": {"posterior": {"gaussian": {
	"mean": {"dtype": "DTYPE_FLOAT64", "shape": [1, 1], "data": "AAAAAAAA8D8="}, "log_variance": {"dtype": "DTYPE_FLOAT64", "shape": [1, 1], "data": "AAAAAAAAAAA="}}}}}'
# wants WORDS: the output of the last program has them.
wants() {
	grep -qF -- "$1" "$out/output" || {
		cat "$out/output"
		echo "want $1" >&2
		exit 1
	}
}

echo "=== grpcurl lists services, by reflection"
"$out/grpcurl" -plaintext "$address" list | tee "$out/output"
for service in kantor.v1.LossService kantor.v1.DiagnosticService kantor.v1.InfoService grpc.health.v1.Health; do wants $service; done

echo "=== grpcurl computes: KL of N(1, 1) is .5, its gradient in the mean 1"
"$out/grpcurl" -plaintext -d "$request" "$address" kantor.v1.LossService/Evaluate >"$out/output"
wants '"value": 0.5'
wants '"data": "AAAAAAAA8D8="'
grep '"value"' "$out/output" | head -n 1

echo "=== grpcurl streams: an open and two batches"
{
	echo '{"open": {"objective": {"terms": [{"kl": {}}]}}}'
	for id in 1 2; do echo "$request" | sed "s/.*\"inputs\"/{\"batch\": {\"id\": $id, \"inputs\"/; \$s/\$/}/"; done
} | "$out/grpcurl" -plaintext -d @ "$address" kantor.v1.LossService/EvaluateStream >"$out/output"
wants '"opened"'
wants '"id": "2"'
grep '"id"' "$out/output"

echo "=== grpcurl shows what is wrong with a request"
if "$out/grpcurl" -plaintext -d '{}' "$address" kantor.v1.LossService/Evaluate >"$out/output" 2>&1; then exit 1; fi
wants 'Code: InvalidArgument'
wants 'BAD_INPUT'
grep 'Message' "$out/output"

echo "=== grpc-health-probe"
"$out/grpc-health-probe" -addr "$address"
"$out/grpc-health-probe" -addr "$address" -service kantor.v1.LossService
if "$out/grpc-health-probe" -addr "$address" -service kantor.v1.Other 2>"$out/output"; then exit 1; fi
wants 'NotFound'

echo "=== ghz"
"$out/ghz" --insecure --skipTLS --call kantor.v1.LossService/Evaluate --data "$request" --total 500 --concurrency 8 --format json "$address" >"$out/ghz.json"
.venv/bin/python -c "
import json, sys
report = json.load(open(sys.argv[1]))
print(report['count'], 'calls,', report['statusCodeDistribution'])
sys.exit(report['statusCodeDistribution'] != {'OK': 500})
" "$out/ghz.json"

kill -TERM $server
wait $server
trap - EXIT
