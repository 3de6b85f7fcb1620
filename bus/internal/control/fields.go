package control

// Each message names its fields once, in the order in which they lie in its bytes; the same list encodes, decodes and
// describes it. Part of the format.

func (m *Hello) fields(w *wire) {
	w.u16("min_version", &m.MinVersion)
	w.u16("max_version", &m.MaxVersion)
	w.u64("features", &m.Features)
	w.u64("required", &m.Required)
	w.text("name", &m.Name, MaxName)
	w.text("software", &m.Software, MaxName)
}

func (m *Welcome) fields(w *wire) {
	w.u16("min_version", &m.MinVersion)
	w.u16("max_version", &m.MaxVersion)
	w.u64("features", &m.Features)
	w.u64("required", &m.Required)
	w.u64("session", &m.Session)
	w.u32("pid", &m.PID)
	w.text("software", &m.Software, MaxName)
	w.text("dir", &m.Dir, MaxPath)
}

func (m *Error) fields(w *wire) {
	w.u16("code", (*uint16)(&m.Code))
	w.text("text", &m.Text, MaxText)
	w.text("hint", &m.Hint, MaxText)
}

func (*OK) fields(*wire) {}

func (m *CreateTopic) fields(w *wire) { w.bytes("config", &m.Config, MaxConfig) }

func (m *DeleteTopic) fields(w *wire) { w.text("topic", &m.Topic, MaxName) }

func (m *ListTopics) fields(w *wire) { w.text("after", &m.After, MaxName) }

func (m *Topics) fields(w *wire) {
	list(w, "topics", &m.Topics, (*Topic).fields)
	w.flag("more", &m.More)
}

func (m *Topic) fields(w *wire) {
	w.text("name", &m.Name, MaxName)
	w.enum("state", (*uint8)(&m.State), uint8(TopicActive), uint8(TopicDamaged))
	w.u64("nonce", &m.Nonce)
	w.u64("created_ns", &m.CreatedNs)
	w.enum("rights", (*uint8)(&m.Rights), 0, uint8(MayPublish|MaySubscribe|MayBlock))
	w.bytes("config", &m.Config, MaxConfig)
	w.text("fault", &m.Fault, MaxText)
}

func (m *AttachProducer) fields(w *wire) { w.text("topic", &m.Topic, MaxName) }

func (m *AttachConsumer) fields(w *wire) {
	w.text("topic", &m.Topic, MaxName)
	w.enum("slow", (*uint8)(&m.Slow), uint8(SlowDefault), uint8(SlowLossy))
	w.u64("credit", &m.Credit)
	w.u64("patience_ns", &m.PatienceNs)
	w.text("group", &m.Group, MaxName)
	w.flag("fanout", &m.Fanout)
}

func (m *AttachInspect) fields(w *wire) { w.text("topic", &m.Topic, MaxName) }

func (m *Attached) fields(w *wire) {
	w.text("topic", &m.Topic, MaxName)
	w.enum("role", (*uint8)(&m.Role), uint8(RoleProducer), uint8(RoleInspect))
	w.u32("slot", &m.Slot)
	w.u64("nonce", &m.Nonce)
	w.enum("slow", (*uint8)(&m.Slow), uint8(SlowDefault), uint8(SlowLossy))
	w.u64("credit", &m.Credit)
	w.u64("patience_ns", &m.PatienceNs)
	w.bytes("config", &m.Config, MaxConfig)
}

func (m *Detach) fields(w *wire) { (*Slot)(m).fields(w) }

func (m *Slot) fields(w *wire) {
	w.text("topic", &m.Topic, MaxName)
	w.enum("role", (*uint8)(&m.Role), uint8(RoleProducer), uint8(RoleConsumer))
	w.u32("slot", &m.Slot)
}

func (m *Evict) fields(w *wire) {
	w.u64("session", &m.Session)
	w.text("topic", &m.Topic, MaxName)
	w.flag("kill", &m.Kill)
	w.text("reason", &m.Reason, MaxText)
}

func (*Reload) fields(*wire) {}

func (m *Reloaded) fields(w *wire) {
	w.text("file", &m.File, MaxPath)
	list(w, "changed", &m.Changed, sentence)
	list(w, "refused", &m.Refused, sentence)
	list(w, "kept", &m.Kept, sentence)
}

func sentence(s *string, w *wire) { w.text("text", s, MaxText) }

func (m *ListClients) fields(w *wire) {
	w.u64("from", &m.From)
	w.u32("skip", &m.Skip)
}

func (m *Clients) fields(w *wire) {
	list(w, "clients", &m.Clients, (*Client).fields)
	w.flag("more", &m.More)
	w.u64("next", &m.Next)
	w.u32("next_skip", &m.NextSkip)
}

func (m *Client) fields(w *wire) {
	w.u64("session", &m.Session)
	w.text("name", &m.Name, MaxName)
	w.text("software", &m.Software, MaxName)
	w.u32("pid", &m.PID)
	w.u32("uid", &m.UID)
	w.u32("gid", &m.GID)
	w.u64("since_ns", &m.SinceNs)
	list(w, "slots", &m.Slots, (*Slot).fields)
}

func (m *TopicDeleted) fields(w *wire) {
	w.text("topic", &m.Topic, MaxName)
	w.u64("nonce", &m.Nonce)
}

func (m *Detached) fields(w *wire) {
	w.text("topic", &m.Topic, MaxName)
	w.enum("role", (*uint8)(&m.Role), uint8(RoleProducer), uint8(RoleConsumer))
	w.u32("slot", &m.Slot)
	w.text("reason", &m.Reason, MaxText)
}

func (m *ShuttingDown) fields(w *wire) { w.text("reason", &m.Reason, MaxText) }

func (m *Register) fields(w *wire) {
	w.text("topic", &m.Topic, MaxName)
	w.u64("nonce", &m.Nonce)
	w.enum("role", (*uint8)(&m.Role), uint8(RoleProducer), uint8(RoleConsumer))
	w.u32("slot", &m.Slot)
	w.u32("generation", &m.Generation)
}
