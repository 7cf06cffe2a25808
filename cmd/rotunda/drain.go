package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"rotunda"
)

const (
	// drainPoll is how often the mesh is asked how far it is.
	drainPoll = 500 * time.Millisecond
	// drainSlack is how long after its deadline a node may take to be gone from the members' list.
	drainSlack = 15 * time.Second
)

func newDrain(t *terminal) *cobra.Command {
	var o drainOptions
	c := &cobra.Command{
		Use:   "drain NODE|--self [--deadline 60s]",
		Short: "Empty a node and stop it, unheard",
		Long: `Empty a node and stop it: it takes no new sessions, its rooms get another home, those who speak and listen are moved to
other nodes, and when it is empty, or at the deadline, its process ends. NODE is a node's id; --admin is the admin
address of that node or of any other.

  rotunda drain eu-west-1
  rotunda drain eu-west-1 --deadline 10m --admin 127.0.0.1:9091
  rotunda drain eu-west-1 --undo                # it takes sessions again
  rotunda drain --self --deadline 2m            # the node at --admin: before a container ends

Exit status 0: it was empty when it went. 1: the deadline came first, and what was left was cut off.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeNodes(&o.admin),
		RunE: func(c *cobra.Command, args []string) error {
			if o.deadline < 0 {
				return usagef("--deadline %v is negative", o.deadline)
			}
			if o.self == (len(args) == 1) {
				return usagef("which node? Its id, or --self for the one at --admin; `rotunda members` lists them")
			}
			if o.self {
				var err error
				if o.node, err = nodeAt(c.Context(), o.admin); err != nil {
					return err
				}
				return drain(c.Context(), t, o)
			}
			o.node = rotunda.NodeID(args[0])
			if err := o.node.Valid(); err != nil {
				return usageError{err}
			}
			return drain(c.Context(), t, o)
		},
	}
	c.Flags().DurationVar(&o.deadline, "deadline", time.Minute, "how long it may take")
	c.Flags().BoolVar(&o.self, "self", false, "the node at --admin, whatever it is called")
	c.Flags().BoolVar(&o.undo, "undo", false, "take it back: the node takes sessions again")
	c.Flags().BoolVar(&o.json, "json", false, "print the outcome as JSON, for machines")
	c.Flags().StringVar(&o.admin, "admin", adminDefault, "admin address of any node")
	return c
}

type drainOptions struct {
	node       rotunda.NodeID
	admin      string
	deadline   time.Duration
	undo, json bool
	self       bool // node is the one at admin
}

// nodeAt is the id of the node whose admin address that is, ready or not.
func nodeAt(ctx context.Context, admin string) (rotunda.NodeID, error) {
	var said struct{ Node rotunda.NodeID }
	err := fromAdmin(ctx, admin, "/readyz", &said)
	var refused *apiError
	if errors.As(err, &refused) && json.Unmarshal(refused.body, &said) == nil {
		err = nil
	}
	if err == nil && said.Node.Valid() != nil {
		err = fmt.Errorf("the node at %s does not say its id", admin)
	}
	return said.Node, err
}

// drained is the outcome of a drain. Left is what the node had when it was heard of last.
type drained struct {
	Node    rotunda.NodeID `json:"node"`
	Empty   bool           `json:"empty"`
	Left    rotunda.Load   `json:"left"`
	Seconds float64        `json:"seconds"`
}

func drain(ctx context.Context, t *terminal, o drainOptions) error {
	order, err := json.Marshal(map[string]string{"node": string(o.node), "deadline": o.deadline.String()})
	if err != nil {
		return err
	}
	method := http.MethodPost
	if o.undo {
		method = http.MethodDelete
	}
	began := time.Now()
	body, err := askAdmin(ctx, o.admin, method, "/v1/drain", bytes.NewReader(order))
	if err != nil {
		return err
	}
	if err := body.Close(); err != nil {
		return err
	}
	if o.undo {
		t.logger("info", "").Info("asked to take sessions again", "node", o.node)
		return nil
	}
	last, err := watchDrain(ctx, t, o, began.Add(o.deadline))
	if err != nil {
		return err
	}
	// A node goes before its deadline only when it is empty.
	d := drained{Node: o.node, Empty: time.Since(began) < o.deadline, Left: last, Seconds: time.Since(began).Round(time.Millisecond).Seconds()}
	if o.json {
		err = t.printJSON(d)
	} else if d.Empty {
		_, err = fmt.Fprintf(t.out, "%s was empty after %.1f s and has stopped\n", d.Node, d.Seconds)
	}
	if err == nil && !d.Empty {
		return fmt.Errorf("the deadline came first: %s has stopped with about %d listeners and %d speakers", d.Node, last.Listeners, last.Speakers)
	}
	return err
}

// watchDrain shows how far the node is until it is gone, and returns what it had when it was heard of last.
func watchDrain(ctx context.Context, t *terminal, o drainOptions, until time.Time) (last rotunda.Load, err error) {
	log := t.logger("info", "")
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for seen := (rotunda.Load{Listeners: ^uint32(0)}); ; {
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-tick.C:
		}
		m, known, err := memberOf(ctx, o)
		switch {
		case err != nil && seen.Listeners == ^uint32(0) && !o.self: // a node that had nobody may have stopped before the first look
			return last, err
		case err != nil, !known, !m.State.Up(): // where the admin address was the node's own, it is gone with it
			return last, nil
		case time.Now().After(until.Add(drainSlack)):
			return last, fmt.Errorf("%s is still %s %v after its deadline", o.node, m.State, drainSlack)
		}
		last = m.Load
		if m.State == rotunda.Draining && (seen.Listeners != last.Listeners || seen.Speakers != last.Speakers) {
			seen = last
			log.Info("draining", "node", o.node, "listeners", last.Listeners, "speakers", last.Speakers, "left", time.Until(until).Round(time.Second))
		}
	}
}

func memberOf(ctx context.Context, o drainOptions) (m rotunda.Member, known bool, err error) {
	var members []rotunda.Member
	if err := fromAdmin(ctx, o.admin, "/v1/members", &members); err != nil {
		return m, false, err
	}
	for _, m := range members {
		if m.ID == o.node {
			return m, true, nil
		}
	}
	return m, false, nil
}
