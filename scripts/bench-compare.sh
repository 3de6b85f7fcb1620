#!/usr/bin/env bash
# bench-compare.sh BASE REGEXP COUNT BENCHSTAT: runs the benchmarks of commit BASE and of this tree in turn, COUNT times
# each (at least 6 for a verdict), and compares them. In turn, because a machine's speed drifts: its cores move, others
# work. Only packages whose benchmarks exist in both are compared.
set -euo pipefail
base=$1 regexp=$2 count=$3 benchstat=$4 go=${GO:-go}
[ -n "$base" ] || { echo "bench-compare: name what to compare with: make bench-compare BASE=main~1 COUNT=6" >&2; exit 2; }

work=$(mktemp -d)
trap 'git worktree remove --force "$work/base" 2>/dev/null || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/base" "$base"

declare -a packages=()
for dir in $(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -r -n1 dirname | sort -u); do
	name=${dir//\//_}
	(cd "$work/base" && "$go" test -c -o "$work/old$name.test" "$dir") >/dev/null 2>&1 || continue
	"$go" test -c -o "$work/new$name.test" "$dir"
	[ -e "$work/old$name.test" ] && packages+=("$dir")
done
[ ${#packages[@]} -gt 0 ] || { echo "bench-compare: no package has benchmarks in both" >&2; exit 1; }
for ((i = 0; i < count; i++)); do
	for dir in "${packages[@]}"; do
		for side in old new; do
			(cd "$dir" && "$work/$side${dir//\//_}.test" -test.run '^$' -test.bench "$regexp" -test.benchmem) >>"$work/$side.txt"
		done
	done
done
"$go" run "$benchstat" "base=$work/old.txt" "this=$work/new.txt"
