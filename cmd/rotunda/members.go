package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/console"
)

// adminDefault is where a node's admin endpoints are unless it is told otherwise.
const adminDefault = "127.0.0.1:9090"

func newMembers(t *terminal) *cobra.Command {
	var admin string
	var asJSON bool
	c := &cobra.Command{
		Use:   "members",
		Short: "List the nodes of a mesh, as one of them sees it",
		Long: `List the nodes of a mesh, as the node at --admin sees it.

  rotunda members
  rotunda members --admin 127.0.0.1:9091 --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var members []rotunda.Member
			if err := fromAdmin(c.Context(), admin, "/v1/members", &members); err != nil {
				return err
			}
			slices.SortFunc(members, func(a, b rotunda.Member) int {
				return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.ID, b.ID))
			})
			if asJSON {
				return t.printJSON(members)
			}
			rows := [][]string{{"NODE", "REGION", "STATE", "URL", "LISTENERS", "SPEAKERS", "CPU", "VERSION"}}
			for _, m := range members {
				rows = append(rows, []string{
					string(m.ID), string(m.Region), string(m.State), m.Addresses.HTTP, fmt.Sprint(m.Load.Listeners),
					fmt.Sprint(m.Load.Speakers), fmt.Sprintf("%.0f %%", m.Load.CPU*100), m.Version,
				})
			}
			return t.printTable(rows)
		},
	}
	adminFlags(c, &admin, &asJSON)
	return c
}

func newRooms(t *terminal) *cobra.Command {
	var admin string
	var asJSON bool
	c := &cobra.Command{
		Use:   "rooms",
		Short: "List the rooms of a mesh, as one of its nodes knows them",
		Long: `List the rooms of a mesh, as the node at --admin knows them.

  rotunda rooms
  rotunda rooms --admin 127.0.0.1:9091 --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var rooms []room.Summary
			if err := fromAdmin(c.Context(), admin, "/v1/rooms", &rooms); err != nil {
				return err
			}
			if asJSON {
				return t.printJSON(rooms)
			}
			rows := [][]string{{"ROOM", "STATE", "HOME", "HOST", "ON STAGE", "TITLE"}}
			for _, r := range rooms {
				rows = append(rows, []string{
					string(r.ID), string(r.State), string(r.Home), cmp.Or(r.HostName, string(r.Host)), fmt.Sprint(r.Speakers), r.Title,
				})
			}
			return t.printTable(rows)
		},
	}
	adminFlags(c, &admin, &asJSON)
	return c
}

func adminFlags(c *cobra.Command, admin *string, asJSON *bool) {
	c.Flags().StringVar(admin, "admin", adminDefault, "admin address of any node")
	c.Flags().BoolVar(asJSON, "json", false, "print JSON, for machines")
}

// fromAdmin fetches JSON from a node's admin address.
func fromAdmin(ctx context.Context, address, path string, into any) error {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	c := &client{base: strings.TrimRight(address, "/"), http: &http.Client{}}
	err := c.call(ctx, http.MethodGet, path, nil, into)
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*apiError)): // there is a node, and it says why
		return fmt.Errorf("the node at %s: %w", address, err)
	}
	return fmt.Errorf("no node answers at %s: %w; --admin says where a node's admin address is: `rotunda up` prints it, and the "+
		"configuration has it as admin.listen", address, err)
}

// printJSON writes v for machines, on one line.
func (t *terminal) printJSON(v any) error { return json.NewEncoder(t.out).Encode(v) }

// printTable writes rows in columns, all with one Write: others may write to the same terminal or pipe (POSIX has writes of up to
// PIPE_BUF stay whole). What comes from other people (titles, names) must not move the cursor.
func (t *terminal) printTable(rows [][]string) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = console.Printable(cell)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := t.out.Write(b.Bytes())
	return err
}
