package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"rotunda/node"
	"rotunda/node/config"
	"rotunda/node/identity"
)

// nodeVerb is the verb that runs a node. SIGHUP does not end it.
const nodeVerb = "node"

func newNode(t *terminal) *cobra.Command {
	var file string
	var check bool
	c := &cobra.Command{
		Use:   nodeVerb + " --config FILE",
		Short: "Run one node",
		Long: `Run one node of a mesh. Every setting comes from a flag, else from the environment, else from the
file, else it has its default. Keys and certificates are always named by file.

  rotunda node --config /etc/rotunda/node.yaml
  rotunda node --config node.yaml --check              say what is wrong and do not run
  ROTUNDA_LOG_LEVEL=debug rotunda node --config node.yaml --http-listen :8000

SIGHUP reads the file, certificates and keys again: log level, limits, the page's and the node's
certificates, the mesh's authorities and the keys of gossip and tokens change at once and nobody is
dropped; a file with mistakes changes nothing. docs/reference/config.md describes every key,
docs/rotation.md the order in which keys are replaced.

A first configuration (rotunda certs and rotunda keygen make the files that it names):

  id: fra-1
  region: eu-central
  host: 192.0.2.7
  data: /var/lib/rotunda
  gossip: {key_file: gossip.key, label: example, seeds: ["192.0.2.8:7946"]}
  tls: {ca: certs/ca.crt, cert: certs/fra-1.crt, key: certs/fra-1.key}
  tokens: {signing_key: token.key, guests: true}`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			flags := map[string]string{}
			for _, k := range config.Keys() {
				if f := c.Flags().Lookup(k.Flag); f.Changed {
					flags[k.Name] = f.Value.String()
				}
			}
			load := func() (config.Config, error) { return config.Load(file, os.Environ(), flags, checkIdentity) }
			cfg, err := load()
			if err != nil {
				return err
			}
			if check {
				fmt.Fprintf(t.out, "good: node %s in %s, page at %s\n", cfg.ID, cfg.Region, cfg.HTTP.URL)
				return nil
			}
			version, revision := build()
			var level slog.LevelVar
			level.Set(levelOf(cfg.LogLevel))
			log := t.loggerFrom(&level, cfg.LogFormat)
			n, err := node.New(cfg, node.Build{Version: version, Revision: revision}, log)
			if err != nil {
				return err
			}
			r := &reloader{node: n, load: load, began: cfg, level: &level, log: log.With("node", cfg.ID)}
			defer r.start(c.Context())()
			stop := make(chan struct{})
			defer close(stop)
			go thrift(n.Ready(), stop)
			return n.Run(c.Context())
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file (YAML)")
	c.Flags().BoolVar(&check, "check", false, "check the configuration and the files that it names, and exit")
	for _, k := range config.Keys() {
		c.Flags().String(k.Flag, "", k.Help+" ("+k.Env+")")
	}
	return c
}

// gcPercent is how much garbage may lie beside what is in use, in percent of that: less than Go's 100, because packets leave no
// garbage, so that collecting is rare, while memory is what an idle node and its listeners cost.
const gcPercent = 50

// thrift keeps the process small. What only the start has needed, some 20 MiB, goes back to the system when the node is ready.
func thrift(ready, stop <-chan struct{}) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	select {
	case <-ready:
		debug.FreeOSMemory()
	case <-stop:
	}
}

// checkIdentity looks into the files that prove who the node is, so that --check finds what would keep it from starting.
func checkIdentity(cfg config.Config) config.Problems {
	var problems config.Problems
	fail := func(key string, err error) {
		if err != nil {
			problems = append(problems, config.Problem{Key: key, Text: err.Error()})
		}
	}
	if cfg.TLS.CA != "" && cfg.TLS.Cert != "" && cfg.TLS.Key != "" {
		id, err := identity.LoadNode(cfg.TLS.CA, cfg.TLS.Cert, cfg.TLS.Key, time.Now())
		if err == nil && (id.ID != cfg.ID || id.Region != cfg.Region) {
			err = fmt.Errorf("is the certificate of node %q in region %q", id.ID, id.Region)
		}
		fail("tls.cert", err)
	}
	if cfg.Gossip.KeyFile != "" {
		_, err := identity.LoadGossipKeys(cfg.Gossip.KeyFile)
		fail("gossip.key_file", err)
	}
	if cfg.Tokens.SigningKey != "" {
		_, _, err := identity.LoadSigningKey(cfg.Tokens.SigningKey)
		fail("tokens.signing_key", err)
	}
	for i, file := range cfg.Tokens.Verify {
		_, _, err := identity.LoadVerifyKey(file)
		fail(fmt.Sprintf("tokens.verify[%d]", i), err)
	}
	return problems
}
