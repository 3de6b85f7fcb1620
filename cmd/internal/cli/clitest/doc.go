// Package clitest answers the question "what do the tests of several programs need?": that each help has examples and the reference page what there is, and for
// the transcripts a broker and a look at who is attached.
package clitest
