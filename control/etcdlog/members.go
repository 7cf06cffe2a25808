package etcdlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"

	"rotunda/control/eventlog"
)

// Member is a control node, as the cluster knows it.
type Member struct {
	Name    string // empty: it has been added and has not started yet
	Peer    string // https://host:port
	Learner bool   // it takes the log over and does not count yet
}

// ErrUnknownMember: the cluster has no control node of that name.
var ErrUnknownMember = errors.New("no such control node")

// promoteEvery is how often a node that joins asks to count as a member: the cluster says no until it has caught up.
const (
	promoteEvery = 500 * time.Millisecond
	promoteMax   = 2 * time.Second // for one answer
)

// Members lists the control nodes by address.
func (l *Log) Members(ctx context.Context) ([]Member, error) {
	resp, err := l.client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("control nodes: %w: %v", eventlog.ErrUnavailable, err)
	}
	var out []Member
	for _, m := range resp.Members {
		out = append(out, Member{Name: m.Name, Peer: cmp.Or(m.PeerURLs...), Learner: m.IsLearner})
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.Peer, b.Peer) })
	return out, nil
}

// AddMember prepares the cluster for one more control node at peer, https://host:port. Then start that node with Peers
// that lists all and with Join. It counts towards no majority until it has taken the log over. Add one at a time.
func (l *Log) AddMember(ctx context.Context, peer string) error {
	if u, err := url.Parse(peer); err != nil || u.Scheme != "https" || u.Port() == "" {
		return fmt.Errorf("control node at %q: want https://host:port", peer)
	}
	if _, err := l.client.MemberAddAsLearner(ctx, []string{peer}); err != nil {
		return fmt.Errorf("control node at %s: %w", peer, err)
	}
	return nil
}

// RemoveMember takes a control node out of the cluster, be it alive or dead, by its name or, where it has none yet, by its
// peer address, and the alarms about it with it: a copy that was found to differ has every member refuse appends until then. Its
// folder is of no use after that. It refuses to remove the last one.
func (l *Log) RemoveMember(ctx context.Context, nameOrPeer string) error {
	resp, err := l.client.MemberList(ctx)
	if err != nil {
		return fmt.Errorf("control nodes: %w: %v", eventlog.ErrUnavailable, err)
	}
	for _, m := range resp.Members {
		if m.Name != nameOrPeer && !slices.Contains(m.PeerURLs, nameOrPeer) {
			continue
		}
		if len(resp.Members) == 1 {
			return fmt.Errorf("control node %s is the last one", nameOrPeer)
		}
		if _, err := l.client.MemberRemove(ctx, m.ID); err != nil && !l.gone(ctx, m.ID) {
			return fmt.Errorf("control node %s: %w", nameOrPeer, err)
		}
		if err := soon(ctx, func(ctx context.Context) error { return l.disarm(ctx, m.ID) }); err != nil {
			return fmt.Errorf("control node %s is out of the cluster, and appends may be refused until the alarm about it is taken back: %w", nameOrPeer, err)
		}
		return nil
	}
	return fmt.Errorf("control node %s: %w", nameOrPeer, ErrUnknownMember)
}

const (
	// leaderMax is how long the others may take to have a leader again: it may have been the leader that was removed.
	leaderMax = 20 * time.Second
	// leaderTry bounds one try to reach it, leaderPause is the time between two.
	leaderTry, leaderPause = 2 * time.Second, 100 * time.Millisecond
)

// soon tries f until it works, for leaderMax at most, and returns what it said last.
func soon(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, leaderMax)
	defer cancel()
	for {
		tctx, cancel := context.WithTimeout(ctx, leaderTry)
		err := f(tctx)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(leaderPause):
		}
	}
}

// gone reports whether a member is none any more: whoever asked for its removal may have got no answer, and asking again would be
// told that there is no such member.
func (l *Log) gone(ctx context.Context, member uint64) (gone bool) {
	err := soon(ctx, func(ctx context.Context) error {
		resp, err := l.client.MemberList(ctx)
		if err == nil {
			gone = !slices.ContainsFunc(resp.Members, func(m *etcdserverpb.Member) bool { return m.ID == member })
		}
		return err
	})
	return err == nil && gone
}

// disarm takes back the alarms about a member that is gone.
func (l *Log) disarm(ctx context.Context, member uint64) error {
	raised, err := l.client.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("alarms: %w", err)
	}
	for _, a := range raised.Alarms {
		if a.MemberID != member {
			continue
		}
		if _, err := l.client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
			return fmt.Errorf("alarms: %w", err)
		}
	}
	return nil
}

// promote makes this node, which joins a cluster, count as a member as soon as it has caught up.
func (l *Log) promote() {
	s := l.server.Server
	for {
		if s.Cluster().Member(s.MemberID()) != nil && !s.IsLearner() {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), promoteMax)
		_, err := s.PromoteMember(ctx, uint64(s.MemberID()))
		cancel()
		if err == nil {
			l.logger.Info("control log: this node has caught up and counts as a member")
			return
		}
		if errors.Is(err, membership.ErrMemberNotLearner) {
			return
		}
		if l.pause(context.Background(), promoteEvery) != nil {
			return
		}
	}
}
