// Package invariant answers the question "are the costly checks in this build?". Code that checks an invariant whose
// check would be felt stands under
//
//	if invariant.Enabled { ... }
//
// and is compiled away unless the build tag "invariant" is given (`make race` and `make fuzz` give it).
package invariant
