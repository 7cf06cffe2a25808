package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthWithin bounds the question: who asks every few seconds does not want answers to queue.
const healthWithin = 3 * time.Second

func newHealth(t *terminal) *cobra.Command {
	var admin string
	var ready bool
	c := &cobra.Command{
		Use:   "health [--ready]",
		Short: "Ask a node whether it lives, or serves people; for images without a shell",
		Long: `Ask a node whether its process lives, or with --ready whether new people should be sent to it: not while it
starts or is being drained. What restarts a node must ask the former, what sends people the latter.

  rotunda health
  rotunda health --ready --admin 127.0.0.1:9091

Exit status 0: it does. 1: it does not, and why.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), healthWithin)
			defer cancel()
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			var said struct{ Reason, Degraded string }
			err := fromAdmin(ctx, admin, path, &said)
			var refused *apiError
			switch {
			case errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable && refused.Reason != "":
				return fmt.Errorf("the node at %s takes nobody: %s", admin, refused.Reason)
			case err != nil:
				return err
			case said.Degraded != "":
				fmt.Fprintln(t.out, "good, but "+said.Degraded)
			default:
				fmt.Fprintln(t.out, "good")
			}
			return nil
		},
	}
	c.Flags().StringVar(&admin, "admin", adminDefault, "admin address of the node")
	c.Flags().BoolVar(&ready, "ready", false, "whether it serves people, not only whether it lives")
	return c
}
