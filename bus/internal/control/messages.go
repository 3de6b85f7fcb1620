package control

import "fmt"

// Protocol is the version of the messages in this file; a Hello or Welcome names the range that its sender speaks. Part of
// the format: a message whose fields change needs a new one.
const (
	MinProtocol = 1
	MaxProtocol = 1
)

// Features are bits that name what a side can do beyond the protocol's version. Part of the format.
const (
	FeatureRegister uint64 = 1 << 0 // of a broker: it takes Register
	FeatureEvict    uint64 = 1 << 1 // of a broker: it takes Evict
	FeatureReload   uint64 = 1 << 2 // of a broker: it takes Reload

	KnownFeatures           = FeatureRegister | FeatureEvict | FeatureReload
	RequiredFeatures uint64 = 0
)

// Limits of the fields, in bytes. Part of the format.
const (
	MaxName    = 64       // of a topic, a group or a client
	MaxText    = 2048     // of an error, a hint, a reason
	MaxConfig  = 16 << 10 // of a topic's configuration
	MaxPath    = 4096
	MaxMessage = 64 << 10 // of a whole message
	MaxFDs     = 6        // descriptors with one message
)

// NoSlot is the slot of an attachment that has none.
const NoSlot = 1<<32 - 1

// A Type says what a message is; it is the type of its TLV. Part of the format.
type Type uint8

const (
	TypeHello          Type = 200
	TypeWelcome        Type = 201
	TypeError          Type = 202
	TypeOK             Type = 203
	TypeCreateTopic    Type = 204
	TypeDeleteTopic    Type = 205
	TypeListTopics     Type = 206
	TypeTopics         Type = 207
	TypeAttachProducer Type = 208
	TypeAttachConsumer Type = 209
	TypeAttachInspect  Type = 210
	TypeAttached       Type = 211
	TypeDetach         Type = 212
	TypeListClients    Type = 213
	TypeClients        Type = 214
	TypeTopicDeleted   Type = 215
	TypeDetached       Type = 216
	TypeShuttingDown   Type = 217
	TypeRegister       Type = 218
	TypeEvict          Type = 219
	TypeReload         Type = 220
	TypeReloaded       Type = 221
)

// A Message is a pointer to one of the structs below.
type Message interface {
	Type() Type
	fields(w *wire)
}

// known makes an empty message of each type.
var known = map[Type]func() Message{
	TypeHello:          func() Message { return new(Hello) },
	TypeWelcome:        func() Message { return new(Welcome) },
	TypeError:          func() Message { return new(Error) },
	TypeOK:             func() Message { return new(OK) },
	TypeCreateTopic:    func() Message { return new(CreateTopic) },
	TypeDeleteTopic:    func() Message { return new(DeleteTopic) },
	TypeListTopics:     func() Message { return new(ListTopics) },
	TypeTopics:         func() Message { return new(Topics) },
	TypeAttachProducer: func() Message { return new(AttachProducer) },
	TypeAttachConsumer: func() Message { return new(AttachConsumer) },
	TypeAttachInspect:  func() Message { return new(AttachInspect) },
	TypeAttached:       func() Message { return new(Attached) },
	TypeDetach:         func() Message { return new(Detach) },
	TypeListClients:    func() Message { return new(ListClients) },
	TypeClients:        func() Message { return new(Clients) },
	TypeTopicDeleted:   func() Message { return new(TopicDeleted) },
	TypeDetached:       func() Message { return new(Detached) },
	TypeShuttingDown:   func() Message { return new(ShuttingDown) },
	TypeRegister:       func() Message { return new(Register) },
	TypeEvict:          func() Message { return new(Evict) },
	TypeReload:         func() Message { return new(Reload) },
	TypeReloaded:       func() Message { return new(Reloaded) },
}

var typeNames = map[Type]string{
	TypeHello: "Hello", TypeWelcome: "Welcome", TypeError: "Error", TypeOK: "OK",
	TypeCreateTopic: "CreateTopic", TypeDeleteTopic: "DeleteTopic", TypeListTopics: "ListTopics", TypeTopics: "Topics",
	TypeAttachProducer: "AttachProducer", TypeAttachConsumer: "AttachConsumer", TypeAttachInspect: "AttachInspect",
	TypeAttached: "Attached", TypeDetach: "Detach", TypeListClients: "ListClients", TypeClients: "Clients",
	TypeTopicDeleted: "TopicDeleted", TypeDetached: "Detached", TypeShuttingDown: "ShuttingDown", TypeRegister: "Register",
	TypeEvict: "Evict", TypeReload: "Reload", TypeReloaded: "Reloaded",
}

// String returns the name of the message.
func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("message type %d", uint8(t))
}

// Hello is a client's first message.
type Hello struct {
	MinVersion, MaxVersion uint16 // of the protocol: the range that the client speaks
	Features               uint64 // what the client can do
	Required               uint64 // what it cannot do without
	Name                   string // for people: the client's name, as in Options.Name
	Software               string // for people: program and version
}

// Welcome is the broker's first message: its own versions and features, of which both sides use the highest version and
// the features that they share.
type Welcome struct {
	MinVersion, MaxVersion uint16
	Features               uint64
	Required               uint64
	Session                uint64 // the number of this connection, in this broker's life
	PID                    uint32 // of the broker, in its own pid namespace; information only
	Software               string
	Dir                    string // the bus directory, for who may open it when the broker is gone
}

// OK answers a request that has nothing more to say.
type OK struct{}

// CreateTopic asks for a new topic. The answer is OK once it can be attached to.
type CreateTopic struct {
	Config []byte // topic.Config as JSON
}

// DeleteTopic ends a topic: its handles return ErrClosed, its files go. The answer is OK.
type DeleteTopic struct {
	Topic string
}

// ListTopics asks for the topics after a name, in the order of their names; the answer is Topics.
type ListTopics struct {
	After string // "" for the first page, then the last name of the page before
}

// Topics is one page of the topics.
type Topics struct {
	Topics []Topic
	More   bool // another page follows
}

// Topic is an entry of Topics.
type Topic struct {
	Name      string
	State     TopicState
	Nonce     uint64 // of this incarnation; 0 unless active
	CreatedNs uint64 // Unix time; 0 unless active
	Rights    Rights // what the one who asks may do
	Config    []byte // topic.Config as JSON; empty where it cannot be read
	Fault     string // of a damaged topic: what is wrong
}

// TopicState says whether a topic can be attached to.
type TopicState uint8

const (
	TopicActive   TopicState = 1
	TopicCreating TopicState = 2
	TopicDamaged  TopicState = 3 // its files are there and cannot be used
)

func (s TopicState) String() string {
	switch s {
	case TopicActive:
		return "active"
	case TopicCreating:
		return "creating"
	case TopicDamaged:
		return "damaged"
	}
	return fmt.Sprintf("topic state %d", uint8(s))
}

// Rights are what a user may do with a topic.
type Rights uint8

const (
	MayPublish   Rights = 1 << 0
	MaySubscribe Rights = 1 << 1
	MayBlock     Rights = 1 << 2 // subscribe with slow policy block
)

// AttachProducer asks for a producer slot; the answer is Attached with six descriptors.
type AttachProducer struct {
	Topic string
}

// Slow says what becomes of a reader that holds producers up. The numbers are those of shmring.Slow.
type Slow uint8

const (
	SlowDefault Slow = 0 // the topic's
	SlowBlock   Slow = 1
	SlowDrop    Slow = 2
	SlowEvict   Slow = 3
	SlowLossy   Slow = 4 // never gates
)

func (s Slow) String() string {
	switch s {
	case SlowDefault:
		return "default"
	case SlowBlock:
		return "block"
	case SlowDrop:
		return "drop"
	case SlowEvict:
		return "evict"
	case SlowLossy:
		return "lossy"
	}
	return fmt.Sprintf("slow policy %d", uint8(s))
}

// AttachConsumer asks for a consumer slot; the answer is Attached with six descriptors.
type AttachConsumer struct {
	Topic      string
	Slow       Slow
	Credit     uint64 // bytes; 0: the topic's
	PatienceNs uint64 // 0: the topic's
	Group      string // a queue group to be a member of; "": the default group where the topic's routing is queue
	Fanout     bool   // none: a subscriber of its own, as is one with slow policy lossy
}

// AttachInspect asks for the files of a topic to look at; the answer is Attached with five descriptors, all read-only, and
// no slot.
type AttachInspect struct {
	Topic string
}

// Role says what an attachment is for.
type Role uint8

const (
	RoleProducer Role = 1
	RoleConsumer Role = 2
	RoleInspect  Role = 3
)

func (r Role) String() string {
	switch r {
	case RoleProducer:
		return "producer"
	case RoleConsumer:
		return "consumer"
	case RoleInspect:
		return "inspect"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Attached hands a topic out. The descriptors are, in this order: ring, cursors, control, locks.p, locks.c, and for a producer
// or consumer the lock of its slot, which must stay open as long as the slot is used.
type Attached struct {
	Topic      string
	Role       Role
	Slot       uint32 // NoSlot for RoleInspect
	Nonce      uint64 // of the topic's incarnation
	Slow       Slow   // the policy in force, of a consumer; SlowDefault otherwise
	Credit     uint64 // bytes, in force
	PatienceNs uint64 // in force
	Config     []byte // topic.Config as JSON
}

// Detach tells the broker that a slot was given back: the client has closed its handle and the slot's lock. The answer is
// OK. A client that says nothing is found out by the lock.
type Detach struct {
	Topic string
	Role  Role
	Slot  uint32
}

// Register tells a broker of a slot that another one granted, or over another connection. With it comes one descriptor, the lock of the
// slot: it proves that the slot is the client's. The answer is OK.
type Register struct {
	Topic      string
	Nonce      uint64 // of the topic's incarnation
	Role       Role
	Slot       uint32
	Generation uint32 // of the slot, as the client has it
}

// Evict asks a client to give its slots back, all of them or those of one topic, or ends its process. The answer is OK: once the client
// was told, or once its process has ended and what it left is repaired.
type Evict struct {
	Session uint64 // of the client
	Topic   string // "": all
	Kill    bool   // SIGKILL, instead of asking; with a topic it makes no sense
	Reason  string // for people: the client's handles end with it
}

// Reload has the broker read its configuration again. The answer is Reloaded, also when the configuration is refused.
type Reload struct{}

// Reloaded says what a reload did: with Refused, nothing.
type Reloaded struct {
	File    string   // of the configuration; "" for a broker without one
	Changed []string // a sentence each
	Refused []string // a sentence each: what is wrong with the configuration, or cannot change; the old one stays in force
	Kept    []string // a sentence each: what holds only after a restart, or of a topic that is not configured any more
}

// ListClients asks for the connected clients in the order of their sessions; the answer is Clients.
type ListClients struct {
	From uint64 // 0 for the first page, then Next of the page before
	Skip uint32 // slots of session From that earlier pages brought: NextSkip of the page before
}

// Clients is one page of the clients. A client whose slots do not fit on one page goes on with the next page's first entry,
// under the same session.
type Clients struct {
	Clients  []Client
	More     bool // another page follows
	Next     uint64
	NextSkip uint32
}

// Client is an entry of Clients.
type Client struct {
	Session       uint64
	Name          string
	Software      string
	PID, UID, GID uint32 // as the kernel wrote them down when the client connected
	SinceNs       uint64 // Unix time
	Slots         []Slot
}

// Slot is a slot that was granted to a client and not given back.
type Slot struct {
	Topic string
	Role  Role
	Slot  uint32
}

// TopicDeleted is unsolicited: a topic that the client is attached to was deleted.
type TopicDeleted struct {
	Topic string
	Nonce uint64 // of the incarnation that ended
}

// Detached is unsolicited: the client is to close the handle of a slot, which ends with ErrEvicted. The slot stays the client's until its
// lock has fallen.
type Detached struct {
	Topic  string
	Role   Role
	Slot   uint32
	Reason string
}

// ShuttingDown is unsolicited: the broker ends, its topics stay, attached clients go on.
type ShuttingDown struct {
	Reason string
}

func (*Hello) Type() Type          { return TypeHello }
func (*Welcome) Type() Type        { return TypeWelcome }
func (*Error) Type() Type          { return TypeError }
func (*OK) Type() Type             { return TypeOK }
func (*CreateTopic) Type() Type    { return TypeCreateTopic }
func (*DeleteTopic) Type() Type    { return TypeDeleteTopic }
func (*ListTopics) Type() Type     { return TypeListTopics }
func (*Topics) Type() Type         { return TypeTopics }
func (*AttachProducer) Type() Type { return TypeAttachProducer }
func (*AttachConsumer) Type() Type { return TypeAttachConsumer }
func (*AttachInspect) Type() Type  { return TypeAttachInspect }
func (*Attached) Type() Type       { return TypeAttached }
func (*Detach) Type() Type         { return TypeDetach }
func (*ListClients) Type() Type    { return TypeListClients }
func (*Clients) Type() Type        { return TypeClients }
func (*TopicDeleted) Type() Type   { return TypeTopicDeleted }
func (*Detached) Type() Type       { return TypeDetached }
func (*ShuttingDown) Type() Type   { return TypeShuttingDown }
func (*Register) Type() Type       { return TypeRegister }
func (*Evict) Type() Type          { return TypeEvict }
func (*Reload) Type() Type         { return TypeReload }
func (*Reloaded) Type() Type       { return TypeReloaded }
