package codec

import "strconv"

// Lengths in bytes of the values in this file. Part of the format.
const (
	HeartbeatSize         = 16
	SnapshotHeaderSize    = 32
	StateInvalidationSize = 224
	SystemHealthSize      = 48
	TraceContextSize      = 32
	RecoveryRequestSize   = 24
	EventPositionSize     = 32

	InvalidatedInstruments = 16 // room in a StateInvalidation
)

// Heartbeat says that a program is alive (type 100).
type Heartbeat struct {
	ID      uint64
	UptimeS uint64
}

// Decode reads s from a value of type TypeHeartbeat, of exactly HeartbeatSize bytes, or returns an [ErrSize]. It copies
// all it keeps.
func (s *Heartbeat) Decode(p []byte) error {
	if len(p) != HeartbeatSize {
		return sizeFault(TypeHeartbeat, len(p), HeartbeatSize)
	}
	d := (*[HeartbeatSize]byte)(p)
	s.ID = le.Uint64(d[0:])
	s.UptimeS = le.Uint64(d[8:])
	return nil
}

// Encode writes s to the first HeartbeatSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *Heartbeat) Encode(dst []byte) {
	d := (*[HeartbeatSize]byte)(dst)
	le.PutUint64(d[0:], s.ID)
	le.PutUint64(d[8:], s.UptimeS)
}

// AppendTo adds s to the message that b builds.
func (s *Heartbeat) AppendTo(b *Builder) {
	if d := b.Reserve(TypeHeartbeat, HeartbeatSize); d != nil {
		s.Encode(d)
	}
}

// SystemHealth is the state of a program (type 107).
type SystemHealth struct {
	TimestampNs          uint64 // nanoseconds since the Unix epoch
	ConnectionCount      uint32
	MessageRatePerSec    uint32
	LastErrorCode        uint32
	ErrorRatePerThousand uint16
	LatencyP95Us         uint16
	ServiceType          uint8
	HealthStatus         Health
	CPUPct               uint8
	MemPct               uint8
	Reserved             [20]byte
}

// Decode reads s from a value of type TypeSystemHealth, of exactly SystemHealthSize bytes, or returns an [ErrSize]. It
// copies all it keeps.
func (s *SystemHealth) Decode(p []byte) error {
	if len(p) != SystemHealthSize {
		return sizeFault(TypeSystemHealth, len(p), SystemHealthSize)
	}
	d := (*[SystemHealthSize]byte)(p)
	s.TimestampNs = le.Uint64(d[0:])
	s.ConnectionCount = le.Uint32(d[8:])
	s.MessageRatePerSec = le.Uint32(d[12:])
	s.LastErrorCode = le.Uint32(d[16:])
	s.ErrorRatePerThousand = le.Uint16(d[20:])
	s.LatencyP95Us = le.Uint16(d[22:])
	s.ServiceType = d[24]
	s.HealthStatus = Health(d[25])
	s.CPUPct = d[26]
	s.MemPct = d[27]
	s.Reserved = [20]byte(d[28:48])
	return nil
}

// Encode writes s to the first SystemHealthSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *SystemHealth) Encode(dst []byte) {
	d := (*[SystemHealthSize]byte)(dst)
	le.PutUint64(d[0:], s.TimestampNs)
	le.PutUint32(d[8:], s.ConnectionCount)
	le.PutUint32(d[12:], s.MessageRatePerSec)
	le.PutUint32(d[16:], s.LastErrorCode)
	le.PutUint16(d[20:], s.ErrorRatePerThousand)
	le.PutUint16(d[22:], s.LatencyP95Us)
	d[24] = s.ServiceType
	d[25] = byte(s.HealthStatus)
	d[26] = s.CPUPct
	d[27] = s.MemPct
	*(*[20]byte)(d[28:]) = s.Reserved
}

// AppendTo adds s to the message that b builds.
func (s *SystemHealth) AppendTo(b *Builder) {
	if d := b.Reserve(TypeSystemHealth, SystemHealthSize); d != nil {
		s.Encode(d)
	}
}

// TraceContext follows a message through the programs (type 108).
type TraceContext struct {
	StartTimestampNs   uint64 // nanoseconds since the Unix epoch
	CurrentTimestampNs uint64 // nanoseconds since the Unix epoch
	SourceService      uint8
	SpanDepth          uint8
	StageFlags         uint8 // 1 collected, 2 relayed, 4 processed, 8 executed
	Reserved           uint8
	TraceID            [8]byte
}

// Decode reads s from a value of type TypeTraceContext, of exactly TraceContextSize bytes, or returns an [ErrSize]. It
// copies all it keeps.
func (s *TraceContext) Decode(p []byte) error {
	if len(p) != TraceContextSize {
		return sizeFault(TypeTraceContext, len(p), TraceContextSize)
	}
	d := (*[TraceContextSize]byte)(p)
	s.StartTimestampNs = le.Uint64(d[0:])
	s.CurrentTimestampNs = le.Uint64(d[8:])
	s.SourceService = d[16]
	s.SpanDepth = d[17]
	s.StageFlags = d[18]
	s.Reserved = d[19]
	s.TraceID = [8]byte(d[24:32])
	return nil
}

// Encode writes s to the first TraceContextSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *TraceContext) Encode(dst []byte) {
	d := (*[TraceContextSize]byte)(dst)
	le.PutUint64(d[0:], s.StartTimestampNs)
	le.PutUint64(d[8:], s.CurrentTimestampNs)
	d[16] = s.SourceService
	d[17] = s.SpanDepth
	d[18] = s.StageFlags
	d[19] = s.Reserved
	*(*[4]byte)(d[20:]) = [4]byte{}
	*(*[8]byte)(d[24:]) = s.TraceID
}

// AppendTo adds s to the message that b builds.
func (s *TraceContext) AppendTo(b *Builder) {
	if d := b.Reserve(TypeTraceContext, TraceContextSize); d != nil {
		s.Encode(d)
	}
}

// RecoveryRequest asks for what was missed (type 110), in the domain where it was missed. None of the old relays
// answered.
type RecoveryRequest struct {
	LastSequence    uint64 // the last one received
	CurrentSequence uint64 // the one that showed the gap
	ConsumerID      uint32
	RequestType     uint32 // 1 retransmit, 2 snapshot
}

// Decode reads s from a value of type TypeRecoveryRequest, of exactly RecoveryRequestSize bytes, or returns an
// [ErrSize]. It copies all it keeps.
func (s *RecoveryRequest) Decode(p []byte) error {
	if len(p) != RecoveryRequestSize {
		return sizeFault(TypeRecoveryRequest, len(p), RecoveryRequestSize)
	}
	d := (*[RecoveryRequestSize]byte)(p)
	s.LastSequence = le.Uint64(d[0:])
	s.CurrentSequence = le.Uint64(d[8:])
	s.ConsumerID = le.Uint32(d[16:])
	s.RequestType = le.Uint32(d[20:])
	return nil
}

// Encode writes s to the first RecoveryRequestSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *RecoveryRequest) Encode(dst []byte) {
	d := (*[RecoveryRequestSize]byte)(dst)
	le.PutUint64(d[0:], s.LastSequence)
	le.PutUint64(d[8:], s.CurrentSequence)
	le.PutUint32(d[16:], s.ConsumerID)
	le.PutUint32(d[20:], s.RequestType)
}

// AppendTo adds s to the message that b builds.
func (s *RecoveryRequest) AppendTo(b *Builder) {
	if d := b.Reserve(TypeRecoveryRequest, RecoveryRequestSize); d != nil {
		s.Encode(d)
	}
}

// EventPosition is the place of an event on its chain (vendor type 205). Adapters add it after the value it belongs to,
// such
// as a PoolSwap, which has no log index of its own.
type EventPosition struct {
	BlockNumber uint64
	ChainID     uint32 // 137 is Polygon, 1 is Ethereum
	TxIndex     uint32 // of the transaction in its block
	LogIndex    uint32 // of the event in its block
}

// Decode reads s from a value of type TypeEventPosition, of exactly EventPositionSize bytes, or returns an [ErrSize].
// It copies all it keeps.
func (s *EventPosition) Decode(p []byte) error {
	if len(p) != EventPositionSize {
		return sizeFault(TypeEventPosition, len(p), EventPositionSize)
	}
	d := (*[EventPositionSize]byte)(p)
	s.BlockNumber = le.Uint64(d[0:])
	s.ChainID = le.Uint32(d[8:])
	s.TxIndex = le.Uint32(d[12:])
	s.LogIndex = le.Uint32(d[16:])
	return nil
}

// Encode writes s to the first EventPositionSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *EventPosition) Encode(dst []byte) {
	d := (*[EventPositionSize]byte)(dst)
	le.PutUint64(d[0:], s.BlockNumber)
	le.PutUint32(d[8:], s.ChainID)
	le.PutUint32(d[12:], s.TxIndex)
	le.PutUint32(d[16:], s.LogIndex)
	*(*[12]byte)(d[20:]) = [12]byte{}
}

// AppendTo adds s to the message that b builds.
func (s *EventPosition) AppendTo(b *Builder) {
	if d := b.Reserve(TypeEventPosition, EventPositionSize); d != nil {
		s.Encode(d)
	}
}

// StateInvalidation tells that what is known of a venue's instruments holds no longer (type 106). It is a system type
// that travels with market data.
type StateInvalidation struct {
	Sequence    uint64 // per venue; 0 is a fresh start
	TimestampNs uint64 // nanoseconds since the Unix epoch
	Count       uint16 // Instruments[:Count] are in use
	Instruments [InvalidatedInstruments]Instrument
	Venue       Venue
	Reason      StateInvalidationReason
}

// Decode reads s from a value of type TypeStateInvalidation, of exactly StateInvalidationSize bytes. It copies all it
// keeps,
// instruments beyond the count too. It returns an [ErrSize], or an [ErrCount] if it counts more than there is room for.
func (s *StateInvalidation) Decode(p []byte) error {
	if len(p) != StateInvalidationSize {
		return sizeFault(TypeStateInvalidation, len(p), StateInvalidationSize)
	}
	d := (*[StateInvalidationSize]byte)(p)
	s.Sequence = le.Uint64(d[0:])
	s.TimestampNs = le.Uint64(d[8:])
	s.Count = le.Uint16(d[16:])
	if s.Count > InvalidatedInstruments {
		return fault(ErrCount, "StateInvalidation instruments", 16, uint64(s.Count), InvalidatedInstruments)
	}
	for i := range s.Instruments {
		s.Instruments[i].decode(d[24+InstrumentSize*i:])
	}
	s.Venue = Venue(le.Uint16(d[216:]))
	s.Reason = StateInvalidationReason(d[218])
	return nil
}

// Encode writes s to the first StateInvalidationSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *StateInvalidation) Encode(dst []byte) {
	d := (*[StateInvalidationSize]byte)(dst)
	le.PutUint64(d[0:], s.Sequence)
	le.PutUint64(d[8:], s.TimestampNs)
	le.PutUint16(d[16:], s.Count)
	*(*[6]byte)(d[18:]) = [6]byte{}
	for i := range s.Instruments {
		s.Instruments[i].encode(d[24+InstrumentSize*i:])
	}
	le.PutUint16(d[216:], uint16(s.Venue))
	d[218] = byte(s.Reason)
	*(*[5]byte)(d[219:]) = [5]byte{}
}

// AppendTo adds s to the message that b builds.
func (s *StateInvalidation) AppendTo(b *Builder) {
	if d := b.Reserve(TypeStateInvalidation, StateInvalidationSize); d != nil {
		s.Encode(d)
	}
}

// StateInvalidationReason is why a state holds no longer; by itself it is a value of type 19.
type StateInvalidationReason uint8

// The reasons.
const (
	ReasonDisconnection         StateInvalidationReason = 0
	ReasonAuthenticationFailure StateInvalidationReason = 1
	ReasonRateLimited           StateInvalidationReason = 2
	ReasonStaleness             StateInvalidationReason = 3
	ReasonMaintenance           StateInvalidationReason = 4
	ReasonRecovery              StateInvalidationReason = 5
)

var reasonNames = [...]string{
	"disconnection", "authentication_failure", "rate_limited", "staleness", "maintenance", "recovery",
}

// String returns the reason's name, or its number if it has none.
func (s StateInvalidationReason) String() string {
	if int(s) < len(reasonNames) {
		return reasonNames[s]
	}
	return strconv.Itoa(int(s))
}

// Decode reads s from a value of type TypeStateInvalidationReason, of one byte, or returns an [ErrSize].
func (s *StateInvalidationReason) Decode(p []byte) error {
	if len(p) != StateInvalidationReasonSize {
		return sizeFault(TypeStateInvalidationReason, len(p), StateInvalidationReasonSize)
	}
	*s = StateInvalidationReason(p[0])
	return nil
}

// Encode writes s to the first byte of dst. It panics if dst is empty.
func (s *StateInvalidationReason) Encode(dst []byte) { dst[0] = byte(*s) }

// AppendTo adds s to the message that b builds.
func (s *StateInvalidationReason) AppendTo(b *Builder) {
	if d := b.Reserve(TypeStateInvalidationReason, StateInvalidationReasonSize); d != nil {
		s.Encode(d)
	}
}

// Snapshot is a saved state (type 101): a header of SnapshotHeaderSize bytes and a body, which is JSON unless
// compressed.
// The old sender was disabled; only its format is left.
type Snapshot struct {
	Sequence         uint64
	TimestampNs      uint64 // nanoseconds since the Unix epoch
	SnapshotID       uint32
	Checksum         uint32 // CRC-32 of the body before compression; neither written nor checked here
	UncompressedSize uint32 // bytes
	TLVType          uint8  // 101
	TLVLength        uint8  // 32
	Compression      uint8  // 0 none, 1 zlib, 2 lz4, 3 zstd
	Body             []byte // after Decode the value's own bytes, not a copy
}

// Size is the length of the value in bytes.
func (s *Snapshot) Size() int { return SnapshotHeaderSize + len(s.Body) }

// Decode reads s from a value of type TypeSnapshot, of at least SnapshotHeaderSize bytes, or returns an [ErrSize]. Body
// aliases p, and lives as long as it does.
func (s *Snapshot) Decode(p []byte) error {
	if len(p) < SnapshotHeaderSize {
		return sizeFault(TypeSnapshot, len(p), SnapshotHeaderSize)
	}
	d := (*[SnapshotHeaderSize]byte)(p)
	s.Sequence = le.Uint64(d[0:])
	s.TimestampNs = le.Uint64(d[8:])
	s.SnapshotID = le.Uint32(d[16:])
	s.Checksum = le.Uint32(d[20:])
	s.UncompressedSize = le.Uint32(d[24:])
	s.TLVType, s.TLVLength, s.Compression = d[28], d[29], d[30]
	s.Body = p[SnapshotHeaderSize:]
	return nil
}

// Encode writes s to the first Size bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *Snapshot) Encode(dst []byte) {
	body := dst[SnapshotHeaderSize:s.Size()]
	d := (*[SnapshotHeaderSize]byte)(dst)
	le.PutUint64(d[0:], s.Sequence)
	le.PutUint64(d[8:], s.TimestampNs)
	le.PutUint32(d[16:], s.SnapshotID)
	le.PutUint32(d[20:], s.Checksum)
	le.PutUint32(d[24:], s.UncompressedSize)
	d[28], d[29], d[30], d[31] = s.TLVType, s.TLVLength, s.Compression, 0
	copy(body, s.Body)
}

// AppendTo adds s to the message that b builds.
func (s *Snapshot) AppendTo(b *Builder) {
	if d := b.Reserve(TypeSnapshot, s.Size()); d != nil {
		s.Encode(d)
	}
}

// Health is the state of a program in a SystemHealth.
type Health uint8

// The states.
const (
	HealthOK        Health = 0
	HealthDegraded  Health = 1
	HealthUnhealthy Health = 2
	HealthUnknown   Health = 3
)

var healthNames = [...]string{"ok", "degraded", "unhealthy", "unknown"}

// String returns the state's name, or its number if it has none.
func (h Health) String() string {
	if int(h) < len(healthNames) {
		return healthNames[h]
	}
	return strconv.Itoa(int(h))
}
