// Package uds answers the question how two processes of one machine talk over a unix socket: whole messages,
// open descriptors and the identity of the peer, behind one [Conn] and one [Listener].
//
// Two framings, one behaviour:
//
//	Packet   SOCK_SEQPACKET: the kernel keeps message boundaries; descriptors travel with a message (SCM_RIGHTS)
//	Stream   SOCK_STREAM:    the length in front of each message keeps them; no descriptors
//
//	 0        4
//	 +--------+---------------------+
//	 | length | message             |    length: u32 little-endian, 1 to MaxMessage, itself not counted
//	 +--------+---------------------+
//
// # Rules
//
// A message is delivered whole or not at all. A Send that returned nil handed its message over; a Send that returned
// an error put no byte of it on the wire, unless the error wraps [ErrBroken].
//
// What a peer sends never makes this side allocate by the peer's word: a length is checked against
// [Options].MaxMessage first, and what passes goes into the buffer that the caller of Recv brought. Descriptors beyond
// [Options].MaxFDs, and all that come with a message that is refused, are closed before Recv returns. Every received
// descriptor is close-on-exec.
//
// An empty message does not exist: a packet of no bytes cannot be told from the end of the connection.
//
// # Ends
//
//	ErrClosed             any call: this side's Close was called, before or meanwhile
//	io.EOF                Recv: the peer closed or died, and everything it sent was received
//	io.ErrUnexpectedEOF   Recv on a stream: the peer closed or died amid a message
//	ErrPeerClosed         Send, TrySend: nobody is at the other end
//
// What a peer sent before it closed is always received first, also where the kernel reports a reset in front of it
// (unix(7) sockets do when the peer closed with messages of ours unread).
//
// Read in this order: conn.go, seqpacket.go, stream.go, fds.go, listener.go, peer.go.
package uds
