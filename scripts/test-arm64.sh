#!/usr/bin/env bash
# test-arm64.sh PACKAGE...: runs short tests as arm64 code. qemu-user emulates its instructions, not its memory order:
# this shows that the code is right, and says little about fences.
set -euo pipefail
go=${GO:-go}
if [ "$(uname -m)" = aarch64 ]; then
	exec "$go" test -short "$@"
fi
if ! command -v qemu-aarch64 >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "test-arm64: installing qemu-user"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	{ timeout 120 apt-get update && DEBIAN_FRONTEND=noninteractive timeout 180 apt-get install -y --no-install-recommends qemu-user; } >"$log" 2>&1 ||
		tail -3 "$log"
fi
if ! command -v qemu-aarch64 >/dev/null; then
	echo "test-arm64: SKIPPED: there is no qemu-aarch64 here, and it could not be installed"
	exit 0
fi
# The emulator hands a SIGBUS on without the fault address that the Go runtime reads, though with the siginfo's, which shields read: what
# panics where a file was cut short (Truncated) is tested natively alone, what a shield keeps off (Cut, Shield) here too.
GOARCH=arm64 CGO_ENABLED=0 "$go" test -short -timeout 300s -skip 'Truncated|FuzzOpen' -exec qemu-aarch64 "$@"
