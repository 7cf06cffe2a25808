// Package etcdlog keeps the rooms' events in etcd: it is an eventlog.Log. It is the only importer of etcd.
//
// The etcd is embedded in this process or an operator's own. Embedded alone it is a folder, and opens no socket at all (the
// client calls the server's functions) unless ListenClient makes it serve other nodes. Embedded in three or five control
// nodes it is a replicated cluster between them, peers and clients over mutual TLS. Whoever is no control node is a client
// of those.
//
// Keys, below the versioned prefix /rotunda/1/; numbers are big-endian:
//
//	entry/<room>/<seq, 16 hex digits>   1 byte   format, 1
//	                                   32 bytes  hash of the entry before
//	                                    1 byte   length of the id
//	                                    n bytes  id
//	                                     rest    data
//	head/<room>                         8 bytes  seq of the last entry
//	                                   32 bytes  its hash
//	summary/<room>                     40 bytes  as head; not there: the room is not in the directory
//	                                     rest    summary
//	base/<room>                         8 bytes  seq of the last entry that is folded; not there: none is
//	                                   32 bytes  its hash
//	segment/<room>/<seq, 16 hex digits> 1 byte   format, 1; seq is that of the position before its first entry
//	                                   40 bytes  that position, as head
//	                                    4 bytes  number of entries
//	                               n × 32 bytes  their digests
//	                                     rest    entries kept whole: 8 bytes seq, 4 bytes length, value as in entry/
//	snapshot/<room>/<seq, 16 hex>       1 byte   format, 1
//	                                   40 bytes  the position that it is of, as head
//	                                   32 bytes  its sum
//	                                     rest    data
//
// An append is one transaction: if head is as the caller says and the next entry does not exist, then the entries, head and
// summary are put. So the directory of all rooms is one watch of summary/. Folding is one transaction too: if base is as it
// was, then base and a segment are put and the entries between removed. The invariant is eventlog's: what this package
// returns has been checked against its hashes first, and what does not fit is ErrBroken.
//
// etcd does not end the process when its disk fails it: it stops, appends fail from then on, and audio goes on.
package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc/connectivity"

	"rotunda/control/eventlog"
)

// TLS names the files that a control node or a client of the log needs: PEM, read again when they change.
type TLS struct {
	CA   string // whom to trust
	Cert string // this node's certificate, for servers and clients
	Key  string
}

// Config says where the log is. With Endpoints it is remote. Without, it is embedded: alone where Peers has no other node,
// else one member of the cluster that Peers lists.
type Config struct {
	Name    string // this node's name; with Peers, its key there
	DataDir string // embedded: where everything is kept; made where it does not exist
	// Peers are the control nodes, name → https://host:port. It must be the same on all of them.
	Peers map[string]string
	// Join: the cluster exists, and AddMember has been called for this node; it matters as long as DataDir is empty. The node
	// takes the cluster's log over and then counts as one of its members.
	Join         bool
	ListenPeer   string // cluster: IP address and port for the other control nodes
	ListenClient string // IP address and port for the nodes that are no control nodes; empty and alone: no port
	// Endpoints are the URLs of the control nodes' client ports, or of an operator's own etcd: https, or http without TLS.
	Endpoints []string
	TLS       TLS          // needed for a cluster and for https endpoints
	Logger    *slog.Logger // nil: discards; gets what etcd says from warnings upwards

	space int64 // instead of spaceMax, for tests
}

// Log is an eventlog.Log over etcd. All methods may be called concurrently.
type Log struct {
	reader // of this Log
	client *clientv3.Client
	server *embed.Etcd // nil: remote
	unlock func()      // of the data folder; nil: remote
	logger *slog.Logger

	promoting sync.WaitGroup

	closing sync.Once
	closed  chan struct{} // closed by Close
}

var _ eventlog.Log = (*Log)(nil)

const (
	// retryWait is how long to wait before asking again after an error.
	retryWait = 50 * time.Millisecond
	// checkEvery is how often a follower compares what it has seen with the log even though nothing happens: it finds a log
	// that was put back from a backup, on which no watch would report anything, and leaves a server that hangs.
	checkEvery = 10 * time.Second
	// askMax is how long one server may take to answer a question before another one is asked.
	askMax = time.Second
	// hedgeAfter is how long it may take before another one is asked beside it: longer than a read takes between the ends of the
	// earth, to a server and from there to its leader, so that few are asked twice.
	hedgeAfter = askMax / 3
	// listEvery is the same for the list of all rooms, which is longer.
	listEvery = 5 * time.Minute
	// readyMax is how long Open waits for a cluster to have a leader. It may have to do without: the others may start later.
	readyMax = 3 * time.Second
	// handOverMax is how long Close tries to make one other member the leader.
	handOverMax = 500 * time.Millisecond
	// closeMax is how long Close waits for etcd.
	closeMax = 10 * time.Second
)

// Open opens the log. Alone, it is ready when Open returns; a cluster or a remote log may not be reachable yet, which is
// said in the log and ends by itself.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Endpoints) > 0 {
		return openRemote(cfg)
	}
	return openEmbedded(ctx, cfg)
}

// Close ends the log. Calls that are under way end with an error. An embedded etcd gets closeMax for it.
func (l *Log) Close() error {
	var err error
	l.closing.Do(func() {
		close(l.closed)
		l.promoting.Wait()
		err = l.client.Close()
		if errors.Is(err, context.Canceled) {
			err = nil // what the client says of having been closed
		}
		if l.server == nil {
			return
		}
		done := make(chan struct{})
		go func() {
			l.handOver()
			l.server.Server.HardStop() // without etcd's own hand-over, which waits for seconds when all members stop at once
			l.server.Close()
			close(done)
		}()
		select {
		case <-done:
			l.unlock()
		case <-time.After(closeMax):
			err = fmt.Errorf("embedded etcd has not stopped after %v", closeMax)
		}
	})
	return err
}

// handOver makes another member the leader where this one is it, so that a member that leaves politely is not missed.
func (l *Log) handOver() {
	s := l.server.Server
	for _, m := range s.Cluster().Members() {
		if s.Leader() != s.MemberID() {
			return
		}
		if m.ID == s.MemberID() {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), handOverMax)
		err := s.MoveLeader(ctx, uint64(s.MemberID()), uint64(m.ID))
		cancel()
		if err != nil {
			l.logger.Warn("control log: leadership not handed over", "to", m.Name, "error", err)
		}
	}
}

// reachable reports whether a request can be sent to somebody who would pass it on to a leader. Where it says no, a request
// that is not sent has certainly not happened.
func (l *Log) reachable(ctx context.Context) error {
	select {
	case <-l.closed:
		return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, errClosed)
	default:
	}
	if l.server != nil {
		if l.server.Server.Leader() == 0 {
			return fmt.Errorf("%w: the cluster has no leader", eventlog.ErrUnavailable)
		}
		return nil
	}
	conn := l.client.ActiveConnection()
	for {
		state := conn.GetState()
		if state == connectivity.Ready {
			return nil
		}
		conn.Connect()
		if state == connectivity.Shutdown || !conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("%w: no connection to %v", eventlog.ErrUnavailable, l.client.Endpoints())
		}
	}
}

// pause waits before another try; it fails when ctx ends or the log is closed.
func (l *Log) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closed:
		return errClosed
	case <-t.C:
		return nil
	}
}

var errClosed = errors.New("the log was closed")
