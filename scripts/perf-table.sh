#!/bin/sh
# Writes the rows of the table in docs/performance.md: what was run, minimum / median / maximum, where the cores lay, and the
# ratio to the floor. Two to three minutes; an argument is a folder to keep the JSON in. Needs bin/myc-perf and jq; give it a machine
# with nothing else to do, or FLAGS=--realtime.
set -eu
keep=${1:-$(mktemp -d)}
perf=${PERF:-bin/myc-perf}
repeat=${REPEAT:-5}
mkdir -p "$keep"

# row NAME VERB FLAGS...: one row of a verb's table.
row() {
	name=$1
	shift
	file=$keep/$(printf %s "$*" | tr -c 'a-z0-9\n' '-').json
	"$perf" "$@" ${FLAGS:-} --repeat "$repeat" -o json >"$file"
	jq -r --arg name "$name" --arg command "myc-perf $*" '
		def ns: round | tostring;
		def of(f): .spread as $s | $s[f] | [.min, .median, .max] | map(ns) | join(" / ");
		def million: .spread.messages_per_s | [.min, .median, .max] | map(. / 1e5 | round / 10 | tostring) | join(" / ");
		def where: "\(.placement), \(.near_runs) of \(.runs | length) near, stalled \(.stalled_share * 1000 | round / 10) %";
		if .verb == "throughput" then
			"| \($name) | `\($command)` | \(million) | \(.floor_p50_ns | ns) | \(.ratio_to_floor) | \(where) |"
		elif .mode == "one_way" then
			"| \($name) | `\($command)` | \(of("p50_ns")) | \(of("p99_9_ns")) | \(.floor_one_way_p50_ns | ns), \(.floor_one_way_p99_9_ns | ns) | \(.ratio_to_floor_one_way), \(.ratio_to_floor_one_way_p99_9) | \(.stalled_messages / .count * 1000 | round / 10) % | \(of("unstalled_p99_9_ns")) (\(.floor_one_way_unstalled_p99_9_ns | ns)) | \(where) |"
		else
			"| \($name) | `\($command)` | \(of("p50_ns")) | \(.p99_ns | ns), \(.p99_9_ns | ns) | \(.floor_p50_ns | ns) | \(.ratio_to_floor) | \(where) |"
		end' "$file"
}

echo "Round trips, ns"
echo
echo "| what | command | p50 min / median / max | p99, p99.9 | floor p50 | ratio | placement |"
echo "|---|---|---|---|---|---|---|"
row "bus, spsc" latency
row "the ring alone, spsc" latency --layer shmring
row "bus, mpmc" latency --kind mpmc
row "the ring alone, mpmc" latency --layer shmring --kind mpmc
row "bus, 256 bytes" latency --size 256
row "bus, 4 KiB" latency --size 4096 --count 200000
echo
echo "One way, ns"
echo
echo "| what | command | p50 min / median / max | p99.9 min / median / max | floor p50, p99.9 | ratios | stalled | of the unstalled alone: p99.9 (floor) | placement |"
echo "|---|---|---|---|---|---|---|---|---|"
row "bus, 100,000 a second" latency --one-way
row "the same, no pause after a burst" latency --one-way --idle spin
row "bus, 1 million a second" latency --one-way --rate 1000000
row "bus, mpmc" latency --one-way --kind mpmc
row "the ring alone" latency --one-way --layer shmring
echo
echo "Throughput, million messages a second"
echo
echo "| what | command | min / median / max | floor p50, ns | ns per message / floor | placement |"
echo "|---|---|---|---|---|---|"
row "bus, spsc" throughput
row "bus, spsc, no pause after a burst" throughput --idle spin
row "the ring alone, spsc" throughput --layer shmring
row "the ring alone, longer pause" throughput --layer shmring --idle spin/256
row "batches of 16" throughput --batch 16
row "claim and commit" throughput --send claim
row "bus, mpmc" throughput --kind mpmc
row "the ring alone, mpmc" throughput --layer shmring --kind mpmc
row "bus, 256 bytes" throughput --size 256
row "bus, 4 KiB" throughput --size 4096
