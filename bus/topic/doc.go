// Package topic answers the question what a topic is: its name, its kind, its sizes, and who may do what with it.
// Client, broker and tools share it; it imports nothing of the project.
//
// A [Config] is one [[topic]] table of the configuration. Its zero value plus a name is a good topic; [Config.WithDefaults]
// says what the defaults come to, and [Config.Validate] names every fault at once. All types here are values of text
// (encoding.TextMarshaler and TextUnmarshaler), so they read the same in TOML, JSON, flags and the environment.
//
// The sizes of a ring and what bounds them (S is a segment, F the largest frame with its header):
//
//	size C      a power of two, 64 KiB to 32 GiB          default 16 MiB
//	S           C/8; a frame never crosses the end of one
//	max_frame   1 to S/4 - 16                             default the smaller of 64 KiB and C/32 - 16
//	F           max_frame + 16, rounded up to 16          at most S/4, so that padding stays small
//	max_claim   F to S/2, in 16s                          default S/4; a batch lies in one segment
//	credit      2 max_claim to C, in 16s                  default C/2
//
// Read in this order: config.go, validate.go, kind.go, size.go, typeset.go, rights.go.
package topic
