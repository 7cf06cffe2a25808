package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"rotunda"
	"rotunda/control/room"
)

// completeFor is how long a shell waits for a node when it completes a word.
const completeFor = 2 * time.Second

// completeRooms offers the live rooms of the mesh, with their titles.
func completeRooms(admin *string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
		var rooms []room.Summary
		if len(args) == 0 && askForCompletion(c, *admin, "/v1/rooms", &rooms) {
			for _, r := range rooms {
				if r.State == room.Live {
					words = append(words, cobra.CompletionWithDesc(string(r.ID), r.Title))
				}
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNodes offers the nodes of the mesh that are up, with their regions.
func completeNodes(admin *string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
		var members []rotunda.Member
		if len(args) == 0 && askForCompletion(c, *admin, "/v1/members", &members) {
			for _, m := range members {
				if m.State.Up() {
					words = append(words, cobra.CompletionWithDesc(string(m.ID), string(m.Region)+", "+string(m.State)))
				}
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// askForCompletion reports whether the node answered; there is nobody to tell why not.
func askForCompletion(c *cobra.Command, admin, path string, into any) bool {
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeFor)
	defer cancel()
	return fromAdmin(ctx, admin, path, into) == nil
}
