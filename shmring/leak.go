//go:build !stepped

package shmring

import "runtime"

// watchLeak gives a handle's slot up when the handle was collected without having been closed.
func watchLeak[T any](handle *T, l *lease) runtime.Cleanup {
	return runtime.AddCleanup(handle, (*lease).abandon, l)
}
