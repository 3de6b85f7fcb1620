package storm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A message names the process that sent it and its number among that process's messages, from 0 on, and carries a checksum
// of all that; little-endian:
//
//	 0  sender: the number of the process, over the whole storm
//	 8  number; the highest bit says that the message is not finished
//	16  CRC-32C of all other bytes
//	20  length of the message
//	24  bytes that follow from the number
const (
	messageHeader = 24
	unfinished    = 1 << 63 // a claim that is open, or was aborted: no reader may ever see one
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// write fills b with a message.
func write(b []byte, sender, number uint64) {
	binary.LittleEndian.PutUint64(b, sender)
	binary.LittleEndian.PutUint64(b[8:], number)
	binary.LittleEndian.PutUint32(b[20:], uint32(len(b)))
	for i := messageHeader; i < len(b); i++ {
		b[i] = byte(number + uint64(i))
	}
	binary.LittleEndian.PutUint32(b[16:], checksum(b))
}

func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:16], castagnoli), castagnoli, b[20:])
}

// message is what a reader takes out of one.
type message struct {
	position, sender, number uint64
	length                   int
	sum                      uint32
}

// parse checks that a message is whole and finished.
func parse(position uint64, b []byte) (message, error) {
	if len(b) < messageHeader {
		return message{}, fmt.Errorf("at %d: a message of %d bytes, never sent", position, len(b))
	}
	m := message{
		position: position, sender: binary.LittleEndian.Uint64(b), number: binary.LittleEndian.Uint64(b[8:]),
		length: len(b), sum: binary.LittleEndian.Uint32(b[16:]),
	}
	if n := binary.LittleEndian.Uint32(b[20:]); int(n) != len(b) {
		return m, fmt.Errorf("at %d: a message of %d bytes says that it has %d: torn", position, len(b), n)
	}
	if want := checksum(b); m.sum != want {
		return m, fmt.Errorf("at %d: message %d of process %d has checksum %#x, its bytes %#x: torn", position, m.number, m.sender, m.sum, want)
	}
	if m.number&unfinished != 0 {
		return m, fmt.Errorf("at %d: process %d never committed message %d, and here it is", position, m.sender, m.number&^unfinished)
	}
	return m, nil
}

// mix is a number that changes with each part of the message and with its position: sums of it tell whether two readers saw
// the same messages in the same places.
func (m message) mix() uint64 {
	x := m.position*0x9e3779b97f4a7c15 ^ m.sender*0xbf58476d1ce4e5b9 ^ m.number*0x94d049bb133111eb ^ uint64(m.sum)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
