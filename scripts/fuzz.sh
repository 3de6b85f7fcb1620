#!/usr/bin/env bash
# fuzz.sh TIME BUDGET: runs every fuzz target for TIME (as 10s). With a BUDGET in seconds (0: none) each target gets its
# share of that at most, but never less than a second.
set -euo pipefail
time=${1%s} budget=$2 go=${GO:-go}

declare -a targets=()
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do
	names=$("$go" test -tags invariant -list '^Fuzz' "$dir" | grep '^Fuzz' || true)
	for name in $names; do targets+=("$dir $name"); done
done
if [ ${#targets[@]} -eq 0 ]; then
	echo "fuzz: the project has no fuzz target" >&2
	exit 1
fi
if [ "$budget" -gt 0 ] && [ $((budget / ${#targets[@]})) -lt "$time" ]; then
	time=$((budget / ${#targets[@]}))
	[ "$time" -ge 1 ] || time=1
fi

echo "fuzz: ${#targets[@]} targets, ${time} s each"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for target in "${targets[@]}"; do
	read -r dir name <<<"$target"
	code=0
	"$go" test -tags invariant -run '^$' -fuzz "^$name\$" -fuzztime "${time}s" "$dir" >"$out" 2>&1 || code=$?
	# At the end of its time the fuzzer of Go before 1.27 sometimes reports its own deadline as a failure
	# (golang.org/issue/75804). A real failure names the input that it wrote.
	if [ "$code" -ne 0 ] && grep -q 'context deadline exceeded' "$out" && ! grep -q 'Failing input written' "$out"; then
		code=0
	fi
	if [ "$code" -ne 0 ]; then
		cat "$out"
		echo "fuzz: $name in $dir FAILED" >&2
		exit "$code"
	fi
	echo "  $dir $name: $(grep -oE 'execs: [0-9]+' "$out" | tail -1)"
done
