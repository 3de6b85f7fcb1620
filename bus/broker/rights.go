package broker

import (
	"os"
	"os/user"
	"slices"
	"strconv"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/uds"
)

// accounts is what the host knows of users and groups. The system's answers may take long (a directory server), so nobody
// asks with the broker's mutex held.
type accounts interface {
	// peer says who is at the other end of a connection.
	peer(c uds.Conn) uds.Peer
	// uid and gid look a name up.
	uid(name string) (uint32, bool)
	gid(name string) (uint32, bool)
	// groups lists the groups that a user belongs to by the host's accounts.
	groups(uid uint32) []uint32
}

// systemAccounts asks the kernel and the host's account databases.
type systemAccounts struct{}

func (systemAccounts) peer(c uds.Conn) uds.Peer { return c.Peer() }

func (systemAccounts) uid(name string) (uint32, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, false
	}
	return number(u.Uid)
}

func (systemAccounts) gid(name string) (uint32, bool) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	return number(g.Gid)
}

func (systemAccounts) groups(uid uint32) []uint32 {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var list []uint32
	for _, id := range ids {
		if n, ok := number(id); ok {
			list = append(list, n)
		}
	}
	return list
}

func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// rightsTable decides who may do what.
type rightsTable struct {
	accounts
	own uint32 // the broker's user
}

func newRights(a accounts) *rightsTable { return &rightsTable{a, uint32(os.Geteuid())} }

// master reports whether a user has every right, and the right to create and delete topics: root and the broker's own.
func (r *rightsTable) master(uid uint32) bool { return uid == 0 || uid == r.own }

// admits reports whether a list (see topic.ParsePrincipal) has an entry for the peer. Groups are the peer's own, as of when
// it connected, and those that the accounts say its user belongs to.
func (r *rightsTable) admits(list []string, p uds.Peer) bool {
	if r.master(p.UID) {
		return true
	}
	var groups []uint32
	for _, text := range list {
		principal, err := topic.ParsePrincipal(text)
		if err != nil {
			continue // the configuration was checked; what cannot be read lets nobody in
		}
		switch principal.Who {
		case topic.Anyone:
			return true
		case topic.AUser:
			if uid, ok := r.resolve(principal); ok && uid == p.UID {
				return true
			}
		case topic.AGroup:
			if groups == nil {
				groups = append([]uint32{p.GID}, r.groups(p.UID)...)
			}
			if gid, ok := r.resolve(principal); ok && slices.Contains(groups, gid) {
				return true
			}
		}
	}
	return false
}

// resolve turns a name into a number; a name of digits that nobody bears is the number.
func (r *rightsTable) resolve(p topic.Principal) (uint32, bool) {
	look := r.uid
	if p.Who == topic.AGroup {
		look = r.gid
	}
	if n, ok := look(p.Name); ok {
		return n, true
	}
	return number(p.Name)
}

// unknown lists the entries that name nobody on this host.
func (r *rightsTable) unknown(list []string) []string {
	var names []string
	for _, text := range list {
		p, err := topic.ParsePrincipal(text)
		if err != nil || p.Who == topic.Anyone {
			continue
		}
		if _, ok := r.resolve(p); !ok {
			names = append(names, text)
		}
	}
	return names
}

// of returns all that a peer may do with a topic.
func (r *rightsTable) of(c topic.Config, p uds.Peer) control.Rights {
	var have control.Rights
	for right, list := range map[control.Rights][]string{
		control.MayPublish: c.Publish, control.MaySubscribe: c.Subscribe, control.MayBlock: c.Blockers,
	} {
		if r.admits(list, p) {
			have |= right
		}
	}
	return have
}
