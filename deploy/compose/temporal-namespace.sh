#!/bin/sh
# Registers the namespace. Closed workflows stay visible for a week, which covers the weekly
# reconcile. The server is up a moment before its namespaces are, hence the tries.
set -eu
tries=30
until temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
	temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 7d; do
	tries=$((tries - 1))
	[ "$tries" -gt 0 ]
	sleep 2
done
