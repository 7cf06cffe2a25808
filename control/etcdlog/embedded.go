package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/pkg/v3/featuregate"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
)

const (
	// spaceMax is how large the store may grow, in bytes; at that size etcd refuses appends.
	spaceMax = 8 << 30
	// historyKept is how many changes etcd keeps of values that were overwritten (heads and summaries), so that a watch that
	// was cut off can go on without reading everything again.
	historyKept = "10000"
	// slow is how long a request may take before etcd warns about it: half of what a command waits.
	slow = time.Second
	// electionAlone is the election time-out of a cluster of one: nobody else could win, so it need not wait long.
	electionAlone = 250 * time.Millisecond
	// election is the election time-out of a cluster, for members that are up to 100 ms apart; a lost leader is replaced
	// after one to two of them.
	election = time.Second
	// ticks are an election time-out's, the fewest that etcd takes: with each a leader lets its members hear from it, which is
	// most of what a cluster costs while nothing happens.
	ticks = 5
	// batch is how long etcd gathers appends, synced in its write-ahead log each, before it writes them into the store's file.
	batch = 500 * time.Millisecond
)

// checks are etcd's own comparisons between its members: before one serves, and with each compaction. A member that differs
// does not start, or raises an alarm, which Ping reports.
const checks = "InitialCorruptCheck=true,CompactHashCheck=true"

// clusterToken is the name that members of different meshes refuse each other by.
const clusterToken = "rotunda-1"

func openEmbedded(ctx context.Context, cfg Config) (*Log, error) {
	ec, err := cfg.embedded()
	if err != nil {
		return nil, fmt.Errorf("control log: %w", err)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("control log: %w", err)
	}
	unlock, err := lock(filepath.Join(cfg.DataDir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("control log: %s is in use: %w", cfg.DataDir, err)
	}
	err = checkStore(filepath.Join(ec.Dir, "member", "snap", "db"))
	var server *embed.Etcd
	if err == nil {
		server, err = startEtcd(ec)
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("control log: %w", cfg.advise(err))
	}
	l := newLog(v3client.New(server.Server), cfg.Logger)
	l.server, l.unlock = server, unlock
	if err := l.waitReady(ctx, len(cfg.Peers) > 1); err != nil {
		l.Close()
		return nil, fmt.Errorf("control log: %w", cfg.advise(err))
	}
	if cfg.Join {
		l.promoting.Go(l.promote)
	}
	return l, nil
}

// errDamaged: etcd gave up while starting. Its own words are in the log.
var errDamaged = errors.New("etcd cannot start from what is in the data folder")

// startEtcd starts etcd in a goroutine of its own: on files that it cannot make sense of it logs something fatal, which ends
// the goroutine, or panics.
func startEtcd(ec *embed.Config) (server *embed.Etcd, err error) {
	done := make(chan struct{})
	err = errDamaged
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%w: %v", errDamaged, p)
			}
		}()
		server, err = embed.StartEtcd(ec)
	}()
	<-done
	if err != nil {
		return nil, err
	}
	return server, nil
}

// waitReady waits until etcd takes appends. A cluster may come to that later.
func (l *Log) waitReady(ctx context.Context, cluster bool) error {
	var late <-chan time.Time
	if cluster {
		t := time.NewTimer(readyMax)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-l.server.Server.ReadyNotify():
		return nil
	case <-late:
		l.logger.Warn("control log waits for the other control nodes", "after", readyMax)
		return nil
	case err := <-l.server.Err():
		return err
	case <-l.server.Server.StopNotify():
		return errDamaged
	case <-ctx.Done():
		return ctx.Err()
	}
}

// embedded is the configuration of the embedded etcd.
func (c Config) embedded() (*embed.Config, error) {
	if c.Name == "" || c.DataDir == "" {
		return nil, fmt.Errorf("name %q and data folder %q are both needed", c.Name, c.DataDir)
	}
	ec := embed.NewConfig()
	ec.Name, ec.Dir = c.Name, filepath.Join(c.DataDir, "etcd")
	ec.InitialClusterToken = clusterToken
	ec.AutoCompactionMode, ec.AutoCompactionRetention = embed.CompactorModeRevision, historyKept
	ec.BackendBatchInterval = batch
	ec.QuotaBackendBytes = spaceMax
	if c.space > 0 {
		ec.QuotaBackendBytes = c.space
	}
	gate, ok := ec.ServerFeatureGate.(featuregate.MutableFeatureGate)
	if !ok {
		return nil, errors.New("etcd's features cannot be chosen")
	}
	if err := gate.Set(checks); err != nil {
		return nil, err
	}
	ec.EnableGRPCGateway = false
	ec.WarningApplyDuration, ec.WarningUnaryRequestDuration = slow, slow
	ec.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapTo(c.Logger))
	if len(c.Peers) <= 1 {
		return ec, c.alone(ec)
	}
	return ec, c.member(ec)
}

// alone makes a cluster of one. It listens nowhere, unless other nodes are to use it as clients. Its peer URL is a name and
// is never connected to.
func (c Config) alone(ec *embed.Config) error {
	self := url.URL{Scheme: "http", Host: "localhost:2380"}
	ec.ListenPeerUrls, ec.ListenClientUrls, ec.AdvertiseClientUrls = nil, nil, nil
	ec.AdvertisePeerUrls = []url.URL{self}
	ec.InitialCluster = c.Name + "=" + self.String()
	ec.TickMs, ec.ElectionMs = uint(electionAlone/ticks/time.Millisecond), uint(electionAlone/time.Millisecond)
	if c.ListenClient == "" {
		return nil
	}
	if c.TLS.CA == "" || c.TLS.Cert == "" || c.TLS.Key == "" {
		return fmt.Errorf("serving other nodes needs a CA, a certificate and a key")
	}
	client, err := listenURL("client", c.ListenClient)
	if err != nil {
		return err
	}
	ec.ListenClientUrls, ec.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	ec.ClientTLSInfo, ec.TlsMinVersion = c.TLS.info(), "TLS1.3"
	return nil
}

// member makes one member of the cluster of c.Peers.
func (c Config) member(ec *embed.Config) error {
	if len(c.Peers)%2 == 0 {
		c.Logger.Warn("an even number of control nodes survives no more losses than one fewer", "nodes", len(c.Peers))
	}
	var initial []string
	for _, name := range slices.Sorted(maps.Keys(c.Peers)) {
		u, err := url.Parse(c.Peers[name])
		if err != nil || u.Scheme != "https" || u.Port() == "" {
			return fmt.Errorf("control node %s at %q: want https://host:port", name, c.Peers[name])
		}
		initial = append(initial, name+"="+u.String())
	}
	own, ok := c.Peers[c.Name]
	if !ok {
		return fmt.Errorf("%s is not among the control nodes", c.Name)
	}
	peer, err := listenURL("peer", c.ListenPeer)
	if err != nil {
		return err
	}
	client, err := listenURL("client", c.ListenClient)
	if err != nil {
		return err
	}
	if c.TLS.CA == "" || c.TLS.Cert == "" || c.TLS.Key == "" {
		return fmt.Errorf("a cluster needs a CA, a certificate and a key")
	}
	if c.Join {
		ec.ClusterState = embed.ClusterStateFlagExisting
	}
	advertised, _ := url.Parse(own)
	ec.InitialCluster = strings.Join(initial, ",")
	ec.ListenPeerUrls, ec.AdvertisePeerUrls = []url.URL{peer}, []url.URL{*advertised}
	ec.ListenClientUrls = []url.URL{client}
	ec.AdvertiseClientUrls = []url.URL{{Scheme: "https", Host: net.JoinHostPort(advertised.Hostname(), client.Port())}}
	ec.PeerTLSInfo, ec.ClientTLSInfo = c.TLS.info(), c.TLS.info()
	ec.TlsMinVersion = "TLS1.3"
	ec.TickMs, ec.ElectionMs = uint(election/ticks/time.Millisecond), uint(election/time.Millisecond)
	return nil
}

func listenURL(what, address string) (url.URL, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return url.URL{}, fmt.Errorf("listen address for %ss %q: %w", what, address, err)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if net.ParseIP(host) == nil {
		return url.URL{}, fmt.Errorf("listen address for %ss %q: want an IP address", what, address)
	}
	return url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)}, nil
}

// info is mutual TLS. Whoever has a certificate of the CA is a node, wherever it calls from: addresses change on the way.
func (t TLS) info() transport.TLSInfo {
	return transport.TLSInfo{CertFile: t.Cert, KeyFile: t.Key, TrustedCAFile: t.CA, ClientCertAuth: true, SkipClientSANVerify: true}
}

func openRemote(cfg Config) (*Log, error) {
	cc := clientv3.Config{
		Endpoints:            cfg.Endpoints,
		DialTimeout:          2 * time.Second,
		DialKeepAliveTime:    5 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second,
		Logger:               zapTo(cfg.Logger).WithOptions(zap.IncreaseLevel(zap.ErrorLevel)), // it warns of every retry
	}
	for _, e := range cfg.Endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return nil, fmt.Errorf("control log: endpoint %q: want https://host:port", e)
		}
		if (u.Scheme == "https") != (cfg.TLS.CA != "") {
			return nil, fmt.Errorf("control log: endpoint %q: https needs a CA, http takes none", e)
		}
	}
	if cfg.TLS.CA != "" {
		config, err := cfg.TLS.info().ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("control log: %w", err)
		}
		cc.TLS = config
	}
	client, err := clientv3.New(cc)
	if err != nil {
		return nil, fmt.Errorf("control log: %w", err)
	}
	return newLog(client, cfg.Logger), nil
}

func newLog(client *clientv3.Client, logger *slog.Logger) *Log {
	l := &Log{client: client, logger: logger, closed: make(chan struct{})}
	l.reader = reader{l}
	return l
}

// zapTo is a zap logger that passes warnings and errors on. etcd ends the process with it when its disk fails; here only
// the goroutine that met the failure ends, the log hangs from then on, and Ping says so.
func zapTo(logger *slog.Logger) *zap.Logger {
	return zap.New(&bridge{logger: logger.With("from", "etcd")}, zap.WithFatalHook(endGoroutine{}), zap.WithPanicHook(endGoroutine{}))
}
