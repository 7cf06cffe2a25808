package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"rotunda"
	"rotunda/node/identity"
)

func newCerts(t *terminal) *cobra.Command {
	certs := &cobra.Command{
		Use:   "certs",
		Short: "Make the mesh's authority and its nodes' certificates",
		Long: `Nodes believe each other by certificates that one authority signed.

  rotunda certs init --dir certs
  rotunda certs node fra-1 --region eu-central --host fra-1.example.org --host 192.0.2.7 --dir certs

Give each node ca.crt and its own .crt, .key and .region, and keep ca.key where no node is.
The .region is the key of the node's region, the same for all its nodes: with it they read the
rooms that are kept in the region. A node that has its certificate already gets one with

  rotunda certs region fra-1 --region eu-central --dir certs

Nothing is ever overwritten: a node's next certificate goes to another folder, and docs/rotation.md says how it gets into use.

  rotunda certs node fra-1 --region eu-central --host 192.0.2.7 --authority certs --dir certs-2027`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var dir string
	initialise := newCertsInit(t, &dir)
	var r identity.NodeRequest
	var region, authority string
	node := &cobra.Command{
		Use:   "node NAME --region REGION [--host HOST]…",
		Short: "Make a node's certificate and keys: NAME.crt, NAME.key and NAME.region",
		Args:  oneArgument,
		RunE: func(_ *cobra.Command, args []string) error {
			r.ID, r.Region = rotunda.NodeID(args[0]), rotunda.Region(region)
			if err := r.Valid(); err != nil {
				return usageError{err}
			}
			a, err := identity.LoadAuthority(cmp.Or(authority, dir))
			if err != nil {
				return fmt.Errorf("no authority to sign with (rotunda certs init makes one): %w", err)
			}
			fingerprint, err := a.CreateNode(dir, r, time.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "%s  %s\n", filepath.Join(dir, args[0]+".crt"), fingerprint)
			return nil
		},
	}
	node.Flags().StringVar(&authority, "authority", "", "folder of the authority (default: that of --dir)")
	node.Flags().StringVar(&region, "region", "", "where the node stands (needed)")
	node.Flags().StringSliceVar(&r.Hosts, "host", nil, "name or IP address under which others reach the node's control log; may be repeated")
	node.Flags().DurationVar(&r.Life, "life", identity.NodeLife, "how long the certificate is good for")
	_ = node.MarkFlagRequired("region") // fails for a flag that does not exist
	key := newCertsRegion(t, &dir)
	for _, c := range []*cobra.Command{initialise, node, key} {
		c.Flags().StringVar(&dir, "dir", "certs", "folder of the files")
	}
	certs.AddCommand(initialise, node, key)
	return certs
}

// newCertsInit is the command that makes the authority in the folder dir.
func newCertsInit(t *terminal, dir *string) *cobra.Command {
	var mesh string
	initialise := &cobra.Command{
		Use:   "init",
		Short: "Make the authority: ca.crt and ca.key",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			a, err := identity.CreateAuthority(*dir, mesh, time.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "%s  %s\n", filepath.Join(*dir, identity.AuthorityCert), a.Fingerprint())
			fmt.Fprintf(t.err, "%s can make a node of anything: move it off this machine when the nodes have their certificates.\n",
				filepath.Join(*dir, identity.AuthorityKey))
			return nil
		},
	}
	initialise.Flags().StringVar(&mesh, "name", "rotunda", "name of the mesh, for people")
	return initialise
}

// newCertsRegion is the command that makes the key of a region in the folder dir.
func newCertsRegion(t *terminal, dir *string) *cobra.Command {
	var standing string
	key := &cobra.Command{
		Use:   "region NAME --region REGION",
		Short: "Make the key of a node's region for a node that has its certificate: NAME.region",
		Long: `After the authority has changed, put the old file's content behind the new one's: the first key
is for new rooms, the others open those that are there.`,
		Args: oneArgument,
		RunE: func(_ *cobra.Command, args []string) error {
			id, region := rotunda.NodeID(args[0]), rotunda.Region(standing)
			if err := errors.Join(id.Valid(), region.Valid()); err != nil {
				return usageError{err}
			}
			a, err := identity.LoadAuthority(*dir)
			if err != nil {
				return fmt.Errorf("no authority to derive it from (rotunda certs init makes one): %w", err)
			}
			if err := a.CreateRegion(*dir, id, region, time.Now()); err != nil {
				return err
			}
			fmt.Fprintln(t.out, filepath.Join(*dir, args[0]+identity.RegionSuffix))
			return nil
		},
	}
	key.Flags().StringVar(&standing, "region", "", "where the node stands (needed)")
	_ = key.MarkFlagRequired("region") // fails for a flag that does not exist
	return key
}

func newKeygen(t *terminal) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "keygen [token|gossip]",
		Short: "Make a key: for signing tokens (default), or the gossip key",
		Long: `Make a key in files; the key itself is never shown.

  rotunda keygen                  token.key (private, signs tokens) and token.pub (checks them)
  rotunda keygen gossip           gossip.key, the same one for all nodes

Nothing is ever overwritten.`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"token", "gossip"},
		RunE: func(_ *cobra.Command, args []string) error {
			in := func(name string) string { return filepath.Join(dir, name) }
			if len(args) == 1 && args[0] == "gossip" {
				fingerprint, err := identity.CreateGossipKey(in("gossip.key"))
				if err != nil {
					return err
				}
				fmt.Fprintf(t.out, "%s  %s\n", in("gossip.key"), fingerprint)
				return nil
			}
			id, err := identity.CreateSigningKey(in("token.key"), in("token.pub"))
			if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "%s  %s\n", in("token.key"), id)
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", ".", "folder of the files")
	return c
}
