//go:build !stepped

package shmring

const minCapacity = 64 << 10

// groupLockTries is how often a group's lock is tried, a nap between.
const groupLockTries = 100
