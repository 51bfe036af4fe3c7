#!/bin/sh
# vulncheck.sh GOVULNCHECK PACKAGES...
#
# Runs govulncheck where its data can be had: from $GOVULNDB when that is set, else
# from vuln.go.dev, else from the module golang.org/x/vulndb, the same reports as the
# Go module proxy serves them, some days or weeks old. Where none can be reached the
# check is skipped, loudly, and does not fail: a network is not a fault of the code.
# Everything else fails.
set -u
bin=$1
shift

out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

# check DB PACKAGES... returns govulncheck's status; DB "" is its own default.
check() {
	db=$1
	shift
	"$bin" ${db:+-db "$db"} "$@" >"$out" 2>&1
}

# unreachable says whether the last check failed because its data cannot be had.
unreachable() {
	grep -Eq 'fetching vulnerabilities|no such host|connection refused|i/o timeout|network is unreachable|Forbidden|Bad Gateway|TLS handshake' "$out"
}

# reports prints "DIR VERSION" of the reports as a module.
reports() {
	(cd / && GOFLAGS='' GOWORK=off go mod download -json golang.org/x/vulndb@latest 2>/dev/null) |
		awk -F '"' '$2 == "Version" { version = $4 } $2 == "Dir" { dir = $4 } END { if (dir) print dir, version }'
}

check "${GOVULNDB:-}" "$@"
status=$?
case $status in
0 | 3) # 3: vulnerabilities found
	cat "$out"
	exit $status
	;;
esac
if unreachable && [ -z "${GOVULNDB:-}" ]; then
	found=$(reports)
	dir=${found% *}/data/osv
	if [ -n "$found" ] && [ -d "$dir" ]; then
		echo "NOTE: vuln.go.dev cannot be reached; checking against golang.org/x/vulndb ${found##* }, as the module proxy has it." >&2
		check "file://$dir" "$@"
		status=$?
	fi
fi
cat "$out"
case $status in
0 | 3) exit $status ;;
esac
if unreachable; then
	cat >&2 <<END
**********************************************************************
SKIPPED: govulncheck. Its data cannot be had from ${GOVULNDB:-vuln.go.dev}.
Nothing was checked for known vulnerabilities. Run make lint where that
host can be reached, or set GOVULNDB to a copy.
**********************************************************************
END
	exit 0
fi
exit "$status"
