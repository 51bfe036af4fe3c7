#!/usr/bin/env bash
# fuzz.sh TIME [PATTERN]
#
# Runs every fuzz test of the module whose name matches PATTERN (a regular expression,
# default: all) for TIME, such as 10s or 1m, one after the other. Which there are is
# found in the code. An input that fails is kept by Go below testdata/fuzz of its
# package: mend the cause and commit the input.
set -uo pipefail
time=${1:?usage: fuzz.sh TIME [PATTERN]}
pattern=${2:-.}

# packages prints the folders, relative to the module, that hold fuzz tests.
packages() {
	go list -f '{{$d := .Dir}}{{range .TestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}' ./... |
		xargs -r grep -l '^func Fuzz' | xargs -r -n 1 dirname | sort -u | sed "s|^$PWD|.|"
}

out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

# run PACKAGE TARGET
run() {
	go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 2s -timeout 0 "$1" >"$out" 2>&1
}

count=0 failed=()
for package in $(packages); do
	if ! list=$(go test -list '^Fuzz' "$package"); then
		echo "$list"
		failed+=("$package")
		continue
	fi
	for target in $(grep -E '^Fuzz' <<<"$list" | grep -E -- "$pattern"); do
		count=$((count + 1))
		status=0
		run "$package" "$target" || status=$?
		# Up to Go 1.26 the end of the time may count as a failure, without an input and
		# with no other word (golang/go#75804).
		if ((status)) && grep -qx '    context deadline exceeded' "$out" && ! grep -Eq 'Failing input|^    ---|panic' "$out"; then
			status=0
		fi
		if ((status)); then
			cat "$out"
			failed+=("$package $target")
		else
			printf '%-14s %-24s %s\n' "$package" "$target" "$(grep '^fuzz: elapsed' "$out" | tail -n 1 | sed 's/^fuzz: //')"
		fi
	done
done

if ((count == 0 && ${#failed[@]} == 0)); then
	echo "fuzz.sh: no fuzz test matches $pattern" >&2
	exit 1
fi
if ((${#failed[@]})); then
	printf 'fuzz.sh: FAILED: %s\n' "${failed[@]}" >&2
	exit 1
fi
echo "fuzz.sh: $count fuzz tests, $time each"
