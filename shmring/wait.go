package shmring

import "github.com/mycelium-bus/mycelium/shmring/internal/shm"

// Pause executes n PAUSE instructions (at most 64), for loops that wait for another core.
func Pause(n uint32) { shm.Pause(n) }
