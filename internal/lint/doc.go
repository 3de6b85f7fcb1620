// Package lint answers the question "does the project keep its own rules?". Each rule is a function from the source
// tree to findings, and the package's test fails for each finding:
//
//	imports.go   which folder may import which, and the outside packages with their reasons
//	unsafe.go    unsafe, assembly and linkname stay in shmring/internal/shm
//	order.go     each access to a shared word states its order and its partner; pairs.go reads the table of pairs
//	words.go     no machine's paths, no authors, nothing left to be done
//	format.go    gofmt
//	docs.go      files, functions, tests and links that the project's pages name are there
//
// The rules themselves are tested on small trees in testdata, one archive a rule, which hold what must be found.
package lint
