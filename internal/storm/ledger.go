package storm

import (
	"encoding/binary"
	"fmt"
	"os"
)

// ledger is what one producer says of itself in a file: two numbers, one before and one after each group of messages. The
// file is written by pwrite(2), whose 16 bytes in one page a kill does not part; the page outlives the process.
type ledger struct {
	attempted uint64 // it has set out to send messages 0 to attempted - 1
	committed uint64 // it has sent messages 0 to committed - 1
}

const ledgerSize = 16

// ledgerFile is the producer's side.
type ledgerFile struct{ file *os.File }

func createLedger(path string) (ledgerFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return ledgerFile{}, fmt.Errorf("create a ledger: %w", err)
	}
	l := ledgerFile{f}
	return l, l.record(ledger{})
}

func (l ledgerFile) record(at ledger) error {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, ledgerSize), at.attempted)
	b = binary.LittleEndian.AppendUint64(b, at.committed)
	_, err := l.file.WriteAt(b, 0)
	return err
}

// readLedger is for when the producer is gone. One that died before it made its ledger sent nothing.
func readLedger(path string) (ledger, error) {
	b, err := os.ReadFile(path)
	switch {
	case os.IsNotExist(err) || err == nil && len(b) == 0:
		return ledger{}, nil
	case err != nil:
		return ledger{}, err
	case len(b) != ledgerSize:
		return ledger{}, fmt.Errorf("ledger %s has %d bytes, want %d", path, len(b), ledgerSize)
	}
	return ledger{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}, nil
}
