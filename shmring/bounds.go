//go:build !stepped

package shmring

const minCapacity = 64 << 10
