// Package codec answers what the bytes of a message mean: a header of 32 bytes and TLVs packed behind it, all
// little-endian, as the relays spoke that this bus replaces. docs/reference/message-format.md has the format in full.
//
//	+--------+---------------------+---------------------+----
//	| header | type | len | value  | type | len | value  | ...
//	+--------+---------------------+---------------------+----
//	0        32
//
// A [Builder] writes a message into a caller's bytes; [Parse] views one in place. Neither allocates nor copies more
// than
// the values themselves. Every struct (Trade, PoolSwap, ...) has the same three methods: Decode reads it from a TLV's
// value, Encode writes it, AppendTo adds it to the message of a Builder. After a Decode that failed a struct holds
// neither its old values nor all of the new ones.
//
//	m, err := codec.Parse(frame)
//	for t, value := range m.TLVs() {
//		switch t {
//		case codec.TypeTrade:
//			err = trade.Decode(value)
//		...
//
// What is kept, whatever the sender did:
//
//   - Unknown types are carried along, in both forms.
//   - A checksum of 0 is absent, never wrong.
//   - Foreign bytes never panic, and never make this package allocate by a length that they name.
//   - Padding between a struct's fields may hold anything when read, and is zero when written. It is no part of the Go
//     structs, so that == compares what is meant. Who forwards a message forwards its bytes.
//   - Where the old programs contradicted each other, reading accepts both; [Rules] narrow that down on request.
//
// Read in this order: header.go tlv.go message.go builder.go, then types.go and market.go for one domain, validate.go.
package codec
