//go:build invariant

package invariant

// Enabled tells whether costly checks of invariants are in this build.
const Enabled = true
