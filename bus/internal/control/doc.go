// Package control answers the question what a client and the broker say to each other: the messages, their bytes, and
// the client's end of a connection.
//
// One packet of a SOCK_SEQPACKET socket holds one message: a TLV message of package codec with exactly one TLV, whose type
// is the message's [Type] (200-254, a namespace of its own) and whose value is the fields, packed in the order of the
// struct. docs/reference/control-messages.md lists them; a test keeps that list true.
//
//	client                                   broker
//	  Hello          versions, features  ->          first, within the broker's patience
//	                 <- Welcome                      or Error: both sides' values
//	  AttachProducer id 7                ->
//	                 <- Attached id 7, 6 descriptors
//	                 <- TopicDeleted id 0            unsolicited, at any time
//
// Rules: a request carries an id that is not 0 (the header's sequence field), its one answer the same id; id 0 marks what
// nobody asked for. Requests may be answered in another order than they were sent. Decoding is strict: what decodes encodes
// back to the same bytes, and everything else is an [ErrMessage] that names the field. Nothing is allocated by a peer's
// word alone: a list's count is checked against the bytes that are there.
//
// Read in this order: messages.go, wire.go, encode.go, errors.go, conn.go.
package control
