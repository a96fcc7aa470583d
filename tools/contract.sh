#!/bin/sh
# Writes what `kantor eval --list` tells of to a file: the losses, diagnostics and inputs of the contract with their comments, without what they import.
set -eu
go tool -modfile=tools/buf/go.mod buf build proto --path proto/kantor/v1/input.proto --path proto/kantor/v1/loss.proto \
	--path proto/kantor/v1/diagnostic_service.proto --exclude-imports --as-file-descriptor-set --output "$1"
