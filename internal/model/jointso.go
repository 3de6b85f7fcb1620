package main

// Joining a ring with one producer, on x86: what of the producer's refresh has to be a full store?
//
// It stands for the branch of Producer.look (limit.go) for single producers against Reader.join (join.go). The producer
// executes no locked instruction but the store of its tail before the scan; its limit goes through its store buffer (buffer.go). The
// joiner's stores are locked. With plain stores alone the limit of the refresh before can still sit in the buffer while the joiner
// looks, and the next refresh, which missed the joiner as well, goes beyond what the joiner allows for.

const (
	tsoTail = iota
	tsoLimit
	tsoActive
	tsoCursor
	tsoWords
)

type joinTSOState struct {
	mem [tsoWords]int8
	buf buffer // the producer's
	p   struct{ pc, pos, limit, gate int8 }
	j   struct{ pc int8 }
}

func joinTSOSystem(fullStore bool, end int8) system[joinTSOState] {
	producer := func(s *joinTSOState) string {
		p := &s.p
		switch p.pc {
		case 0:
			if p.pos >= end {
				return ""
			}
			if p.pos < p.limit {
				p.pos++
				return "claims a segment"
			}
			if fullStore {
				if s.buf.n > 0 {
					return "" // a locked store waits for the buffer
				}
				s.mem[tsoTail] = p.pos
			} else if !s.buf.store(tsoTail, p.pos) {
				return ""
			}
			p.pc = 1
			return "stores its tail"
		case 1:
			if p.pc = 2; s.mem[tsoActive] != 0 {
				p.gate = s.mem[tsoCursor] + joinC
			}
			return "looks at the reader's slot"
		}
		limit := p.pos + joinS
		if p.gate != 0 {
			limit = min(limit, p.gate)
		}
		if limit > p.limit {
			if !s.buf.store(tsoLimit, limit) {
				return ""
			}
			p.limit = limit
		}
		p.gate, p.pc = 0, 0
		return "stores its limit"
	}
	drain := func(s *joinTSOState) string {
		if !s.buf.drain(s.mem[:]) {
			return ""
		}
		return "reaches memory with a store"
	}
	joiner := func(s *joinTSOState) string {
		s.j.pc++
		switch s.j.pc {
		case 1:
			s.mem[tsoCursor] = s.mem[tsoLimit] - joinC
			return "stores its stand-in, the limit - C"
		case 2:
			s.mem[tsoActive] = 1
			return "becomes active"
		case 3:
			s.mem[tsoCursor] = s.mem[tsoLimit] + joinS - joinC
			return "loads the limit, moves its cursor"
		}
		return ""
	}
	start := joinTSOState{mem: [tsoWords]int8{tsoTail: joinC, tsoLimit: joinC + 1}}
	start.p.pos, start.p.limit = joinC, joinC+1
	return system[joinTSOState]{
		start: []joinTSOState{start},
		procs: []process[joinTSOState]{{"producer", producer}, {"producer's buffer", drain}, {"joiner", joiner}},
		fault: func(s *joinTSOState) string {
			if s.j.pc == 3 && s.p.limit > s.mem[tsoCursor]+joinC {
				return "the producer's limit passes the cursor of a reader that has joined"
			}
			return ""
		},
	}
}

var joinTSO = model{
	name:     "join_tso",
	question: "the same for a single producer with a store buffer: which store is full?",
	variants: []variant{
		{name: "the tail's, before the scan", run: func(b bounds) result { return explore(joinTSOSystem(true, 30)) }},
		{name: "none", wrong: true, run: func(b bounds) result { return explore(joinTSOSystem(false, 20)) }},
	},
}
