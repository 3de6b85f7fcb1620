//go:build stepped

package shmring

import "runtime"

// A ring that is stepped through is so small that a few messages go round it.
const minCapacity = 1 << 10

// watchLeak watches nothing: the collector is no process of the test.
func watchLeak[T any](handle *T, l *lease) runtime.Cleanup { return runtime.Cleanup{} }

// groupLockTries is one: nobody naps in steps.
const groupLockTries = 1
