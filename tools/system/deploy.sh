#!/bin/sh
# usage: tools/system/deploy.sh
#
# Holds what is under deploy/ for orchestrators to what it is for: the Helm chart and the manifests to Kubernetes' own schemas and to the flags that the program has,
# the units to systemd's reading of them, the recipe for Apptainer to its grammar. Each check is also given something that it has to refuse.
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/out/deploy
kubernetes=1.37.0
chart=deploy/helm/kantor

command -v systemd-analyze >/dev/null || {
	echo "kantor needs systemd-analyze for this (Debian: systemd)" >&2
	exit 1
}
mkdir -p "$out/bin"
go build -o "$out/bin/kantor" ./cmd/kantor
GOBIN=$out/bin go -C tools/deploy install tool
PYTHON=${PYTHON:-python3} tools/pip.sh "$out/.venv" --quiet --no-deps --requirement tools/deploy/requirements.txt
[ -d "$out/schemas/$kubernetes" ] || "$out/.venv/bin/python" tools/deploy/schemas.py $kubernetes "$out/schemas/$kubernetes"

helm() { "$out/bin/helm" "$@" --kube-version "$kubernetes"; }
conform() { "$out/bin/kubeconform" -strict -summary -schema-location "$out/schemas/$kubernetes/{{.ResourceKind}}{{.KindSuffix}}.json" "$@"; }
# refused WANT COMMAND...: the command fails and says so.
refused() {
	want=$1
	shift
	if said=$("$@" 2>&1); then
		echo "not refused: $*" >&2
		exit 1
	fi
	case $said in *"$want"*) ;; *)
		echo "$*: said $said, want $want" >&2
		exit 1
		;;
	esac
}

echo "=== helm lint, helm template, kubeconform"
plain="--set insecure=true"
whole="--set tls.secretName=tls,tls.clientCASecretName=ca,tokens.secretName=tokens,autoscaling.enabled=true --set-json metrics.from=[{\"podSelector\":{}}]"
least="--set tls.secretName=tls,podDisruptionBudget.enabled=false,networkPolicy.enabled=false,metrics.enabled=false,replicas=1"
i=0
for values in "$plain" "$whole" "$least"; do
	i=$((i + 1))
	# shellcheck disable=SC2086 # values are words
	helm lint --strict --quiet $chart $values
	# shellcheck disable=SC2086
	helm template release $chart --namespace losses $values >"$out/values-$i.yaml"
	conform "$out/values-$i.yaml"
done
conform deploy/kubernetes/sidecar-job.yaml
sed 's/readOnlyRootFilesystem/readOnlyRootFileSystem/' "$out/values-1.yaml" >"$out/misspelt.yaml"
refused readOnlyRootFileSystem conform "$out/misspelt.yaml"
refused "additional properties 'replica' not allowed" helm template release $chart --set replica=3
refused "want tls.secretName, or insecure=true" helm template release $chart
refused "tokens do not travel in plain text" helm template release $chart --set insecure=true,tokens.secretName=tokens

echo "=== flags that containers are started with"
"$out/.venv/bin/python" tools/deploy/flags.py "$out/bin/kantor" "$out"/values-[123].yaml deploy/kubernetes/sidecar-job.yaml deploy/systemd/kantor.service \
	deploy/systemd/user/kantor.service

echo "=== systemd-analyze"
# It wants the programs that a unit names to be there, and a user's manager to have folders.
for unit in kantor.service user/kantor.service; do
	mkdir -p "$out/units/user" "$out/run"
	sed "s|/usr/local/bin/kantor|$out/bin/kantor|; s|%h/.local/bin/kantor|$out/bin/kantor|" "deploy/systemd/$unit" >"$out/units/$unit"
done
XDG_RUNTIME_DIR=$out/run
export XDG_RUNTIME_DIR
systemd-analyze verify --man=no "$out/units/kantor.service"
systemd-analyze --user verify --man=no "$out/units/user/kantor.service"
# In tenths; 100 is a service without any protection.
systemd-analyze security --offline=true --threshold=15 --no-pager "$out/units/kantor.service" | tail -n 1
sed 's/^ProtectSystem=strict/ProtectSystem=strikt/' "$out/units/kantor.service" >"$out/units/misspelt.service"
case $(systemd-analyze verify --man=no "$out/units/misspelt.service" 2>&1) in *strikt*) ;; *)
	echo "systemd-analyze does not see a misspelt ProtectSystem=" >&2
	exit 1
	;;
esac

echo "=== every file is in the documentation"
for file in $(git ls-files deploy | grep -v _test.yaml | sed 's|^deploy/helm/kantor/.*|deploy/helm/kantor|' | sort -u); do
	grep -qF "../$file)" docs/*.md || {
		echo "no page under docs/ links $file" >&2
		exit 1
	}
done

echo "=== Apptainer's recipe"
"$out/.venv/bin/python" tools/deploy/recipe.py deploy/apptainer/kantor.def
