#!/bin/sh
# Looks whether our Go code calls what is known to be vulnerable, by the database at $GOVULNDB, else https://vuln.go.dev. Exit status 3: it does. 75: nothing
# was looked at, because the database cannot be reached. With --self-test it looks whether something made up is found, which needs no network.
set -u
cd "$(dirname "$0")/.." || exit 1

scan() {
	go tool -modfile=tools/go.mod govulncheck -db "$@" 2>&1
}

if [ "${1-}" = --self-test ]; then
	out=$(scan "file://$PWD/tools/vulncheck" ./cmd/kantor)
	status=$?
	if [ $status -ne 3 ] || ! echo "$out" | grep -q 'calls kong.Must'; then
		echo "$out"
		echo "govulncheck did not find what is made up: status $status, want 3"
		exit 1
	fi
	exit 0
fi
database=${GOVULNDB:-https://vuln.go.dev}
out=$(scan "$database" ./...)
status=$?
echo "$out"
if [ $status -eq 1 ] && echo "$out" | grep -q 'fetching vulnerabilities: Get '; then
	echo "govulncheck: not run, because $database cannot be reached; GOVULNDB=file:///PATH names a copy of the database"
	exit 75
fi
exit $status
