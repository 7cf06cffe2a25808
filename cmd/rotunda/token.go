package main

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rotunda"
	"rotunda/control/token"
	"rotunda/node/identity"
)

// ttlMax keeps a token from outliving what its holder may do: what lasts longer belongs to the operator's own log-in.
const ttlMax = 30 * 24 * time.Hour

func newToken(t *terminal) *cobra.Command {
	var room, role, sub, name, key string
	var operator, create bool
	var ttl time.Duration
	c := &cobra.Command{
		Use:   "token --sub USER [--room ROOM] [--role ROLE]",
		Short: "Sign a token that lets somebody in",
		Long: `Sign a token and print it. Its role is the highest its holder may have; together with a room it
gives the holder that role there. An operator's token, which names neither, opens the operator's calls:
ending rooms, bans from the whole mesh, the queue of reports. The claims are in docs/reference/tokens.md.

  rotunda token --sub ada --name Ada --ttl 12h                      may open rooms where everybody may
  rotunda token --sub ada --name Ada --ttl 12h --create-rooms       may open rooms (scope room:create)
  rotunda token --sub bob --name Bob --room k3v9 --role speaker     may speak in one room
  rotunda token --sub olga --operator --ttl 8h                      runs the mesh`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			claims := token.Claims{
				User: rotunda.UserID(sub), Name: name, Room: rotunda.RoomID(room), Role: rotunda.Role(role), ID: rand.Text(),
				Operator: operator, Create: create,
			}
			if claims.Role != rotunda.NoRole && claims.Role.Rank() == 0 {
				return usagef("--role %q: want listener, speaker, cohost or host", role)
			}
			if operator && (room != "" || role != "") {
				return usagef("--operator: goes with neither --room nor --role")
			}
			if create && room != "" {
				return usagef("--create-rooms: a token of one room opens no others")
			}
			if ttl <= 0 || ttl > ttlMax {
				return usagef("--ttl %v: more than 0, at most %v", ttl, ttlMax)
			}
			kid, private, err := identity.LoadSigningKey(key)
			if err != nil {
				return err
			}
			signer, err := token.NewSigner(kid, private)
			if err != nil {
				return err
			}
			claims.Issued = time.Now()
			claims.Expires = claims.Issued.Add(ttl)
			signed, err := signer.Mint(claims)
			if err != nil {
				return usageError{err}
			}
			fmt.Fprintln(t.out, signed)
			return nil
		},
	}
	c.Flags().StringVar(&sub, "sub", "", "the user's id (needed)")
	c.Flags().StringVar(&name, "name", "", "the name that others see")
	c.Flags().StringVar(&room, "room", "", "the only room that the token opens; empty: any")
	c.Flags().StringVar(&role, "role", "", "the highest role: listener, speaker, cohost or host; empty: no limit")
	c.Flags().BoolVar(&operator, "operator", false, "make it the token of whoever runs the mesh")
	c.Flags().BoolVar(&create, "create-rooms", false, "let the holder open rooms on a mesh where not everybody may (tokens.create_rooms)")
	c.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long the token is good for")
	c.Flags().StringVar(&key, "key", "token.key", "file of the signing key")
	_ = c.MarkFlagRequired("sub") // fails for a flag that does not exist
	return c
}
