package main

import (
	"fmt"
	"io"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex"
)

// summary says what was played: rows = published + malformed + other + duplicates, if it was played to its end.
type summary struct {
	Rows         uint64  `json:"rows"`      // of all files, after their headers
	Published    uint64  `json:"published"` // events
	Malformed    uint64  `json:"malformed"` // rows that could not be read, and events that no message can hold
	Other        uint64  `json:"other"`     // logs of other kinds: Collect, Flash, ...
	Duplicates   uint64  `json:"duplicates"`
	OutOfOrder   uint64  `json:"out_of_order"`
	PoolStates   uint64  `json:"pool_states"`
	Messages     uint64  `json:"messages"`      // published and pool_states
	SkippedFiles int     `json:"skipped_files"` // of folders: they hold no events
	FailedFiles  int     `json:"failed_files"`  // of folders: they could not be played
	UnknownPools int     `json:"unknown_pools"`
	Rounds       uint64  `json:"rounds"`
	Interrupted  bool    `json:"interrupted"`      // it ended before all was published
	Cycles       *uint64 `json:"cycles,omitempty"` // known of a made-up market
	Seconds      float64 `json:"seconds"`
	MessagesPerS float64 `json:"messages_per_s"`
}

// add counts a round that has ended.
func (s *summary) add(m *dex.Merge, market *dex.Synthetic) {
	c := m.Counts()
	s.Rows += c.Rows
	s.Malformed += c.Malformed
	s.Other += c.Other
	s.Duplicates += m.Duplicates()
	s.OutOfOrder += m.OutOfOrder()
	if market == nil {
		return
	}
	if s.Cycles == nil {
		s.Cycles = new(uint64)
	}
	*s.Cycles += market.Cycles()
}

func (s *summary) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(w, s)
	}
	_, err := fmt.Fprintf(w, "published %s events of %s rows in %.1f s, %s messages, %s\n",
		cli.Number(int64(s.Published)), cli.Number(int64(s.Rows)), s.Seconds, cli.Number(int64(s.Messages)), cli.Rate(s.MessagesPerS))
	for _, line := range []struct {
		n    uint64
		what string
	}{
		{s.Malformed, "rows malformed"},
		{s.Other, "logs of other kinds (Collect, Flash, ...)"},
		{s.Duplicates, "events that came before"},
		{s.OutOfOrder, "events out of order"},
		{uint64(s.SkippedFiles), "files of other kinds passed over"},
		{uint64(s.FailedFiles), "files left out"},
	} {
		if line.n > 0 && err == nil {
			_, err = fmt.Fprintf(w, "  %s %s\n", cli.Number(int64(line.n)), line.what)
		}
	}
	if s.Interrupted && err == nil {
		_, err = fmt.Fprintln(w, "  interrupted: what would have come then was not published")
	}
	if s.Cycles != nil && err == nil {
		_, err = fmt.Fprintf(w, "  %s cycles pay in this market\n", cli.Number(int64(*s.Cycles)))
	}
	return err
}
