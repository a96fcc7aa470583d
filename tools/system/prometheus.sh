#!/bin/sh
# Holds the dashboard, the alerts and the metrics to a real Prometheus under load.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python tools/prometheus.py
