package broker

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/uds"
)

// errNobody says that the host knows no user or group of a name.
var errNobody = errors.New("no such user or group on this host")

// accounts is what the host knows of users and groups. The system's answers may take long (a directory server), so nobody
// asks with the broker's mutex held.
type accounts interface {
	// peer says who is at the other end of a connection.
	peer(c uds.Conn) uds.Peer
	// uid and gid look a name up. The error is errNobody if the host knows no such name; every other one says that it cannot
	// tell now, as when a directory server does not answer.
	uid(name string) (uint32, error)
	gid(name string) (uint32, error)
	// groups lists the groups that a user belongs to by the host's accounts.
	groups(uid uint32) []uint32
}

// systemAccounts asks the kernel and the host's account databases.
type systemAccounts struct{}

func (systemAccounts) peer(c uds.Conn) uds.Peer { return c.Peer() }

func (systemAccounts) uid(name string) (uint32, error) {
	u, err := user.Lookup(name)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		return 0, errNobody
	}
	if err != nil {
		return 0, err
	}
	return accountNumber(u.Uid)
}

func (systemAccounts) gid(name string) (uint32, error) {
	g, err := user.LookupGroup(name)
	if _, unknown := errors.AsType[user.UnknownGroupError](err); unknown {
		return 0, errNobody
	}
	if err != nil {
		return 0, err
	}
	return accountNumber(g.Gid)
}

func accountNumber(s string) (uint32, error) {
	n, ok := number(s)
	if !ok {
		return 0, fmt.Errorf("the host's accounts have %q for a number", s)
	}
	return n, nil
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
			if uid, err := r.resolve(principal); err == nil && uid == p.UID {
				return true
			}
		case topic.AGroup:
			if groups == nil {
				groups = append([]uint32{p.GID}, r.groups(p.UID)...)
			}
			if gid, err := r.resolve(principal); err == nil && slices.Contains(groups, gid) {
				return true
			}
		}
	}
	return false
}

// resolve turns a name into a number; a name of digits that nobody bears is the number.
func (r *rightsTable) resolve(p topic.Principal) (uint32, error) {
	look := r.uid
	if p.Who == topic.AGroup {
		look = r.gid
	}
	n, err := look(p.Name)
	if err != nil {
		if digits, ok := number(p.Name); ok {
			return digits, nil
		}
	}
	return n, err
}

// stray is an entry of a topic's lists that lets nobody in, and why.
type stray struct {
	list, entry string
	err         error // errNobody, or why it cannot be told
}

// strays finds the entries of a topic's lists that name nobody, or of whom the host cannot tell now.
func (r *rightsTable) strays(c topic.Config) []stray {
	var found []stray
	for _, l := range []struct {
		name       string
		principals []string
	}{{"publish", c.Publish}, {"subscribe", c.Subscribe}, {"blockers", c.Blockers}} {
		for _, text := range l.principals {
			p, err := topic.ParsePrincipal(text)
			if err != nil || p.Who == topic.Anyone {
				continue // what is no principal is the configuration's to refuse
			}
			if _, err := r.resolve(p); err != nil {
				found = append(found, stray{l.name, text, err})
			}
		}
	}
	return found
}

// faults finds the names in a configuration that nobody on this host bears: a right that nobody can use is a slip of the pen. Names of
// which the host cannot tell now are none, for a broker starts without its directory server too; they are logged when it does.
func (r *rightsTable) faults(c Config) []*Fault {
	var all []*Fault
	if c.Group != "" {
		if _, err := r.resolve(topic.Principal{Who: topic.AGroup, Name: c.Group}); errors.Is(err, errNobody) {
			all = append(all, &Fault{Key: "broker.group", path: "broker.group", Text: fmt.Sprintf("%q: no such group on this host; write one that is, or a number", c.Group)})
		}
	}
	for i, t := range c.Topics {
		for _, s := range r.strays(t) {
			if errors.Is(s.err, errNobody) {
				all = append(all, &Fault{Key: "topic." + s.list, path: "topic." + strconv.Itoa(i) + "." + s.list,
					Text: fmt.Sprintf("%q: %v; write a name that is, or a number (topic %q)", s.entry, s.err, t.Name)})
			}
		}
	}
	return all
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
