package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"rotunda/control/etcdlog"
	"rotunda/control/eventlog"
	"rotunda/node"
)

func newVerify(t *terminal) *cobra.Command {
	var admin, data string
	var asJSON, mend bool
	c := &cobra.Command{
		Use:   "verify [--admin ADDRESS [--mend] | --data DIR]",
		Short: "Check that the record of every room is whole",
		Long: `Check the control log: every event of every room carries the hash of the one before, so that nothing can
be lost, changed or put in without showing. The exit status is 1 where a room's record is not whole.

Nodes mend what they find damaged in rooms that they follow by themselves, within a minute or so, from their own copy of the
room's latest events; with --mend the node that is asked does it at once. Nothing is put over another history than its own.

  rotunda verify                           ask a running node
  rotunda verify --mend                    and have it put right what it has a copy of
  rotunda verify --data /var/lib/rotunda   look into the folder of a node that does not run`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var verdicts []node.Verdict
			take := func(v node.Verdict) error { verdicts = append(verdicts, v); return nil }
			var err error
			if data != "" {
				err = verifyFolder(c.Context(), data, take)
			} else {
				err = verifyNode(c.Context(), admin, mend, take)
			}
			if err != nil {
				return err
			}
			if err := t.printVerdicts(verdicts, asJSON); err != nil {
				return err
			}
			broken := 0
			for _, v := range verdicts {
				if v.Error != "" {
					broken++
				}
			}
			if broken > 0 {
				return fmt.Errorf("%d of %d rooms have a record that is not whole", broken, len(verdicts))
			}
			return nil
		},
	}
	adminFlags(c, &admin, &asJSON)
	c.Flags().StringVar(&data, "data", "", "data folder of a node that does not run")
	c.Flags().BoolVar(&mend, "mend", false, "put right what the node has a copy of")
	c.MarkFlagsMutuallyExclusive("admin", "data")
	c.MarkFlagsMutuallyExclusive("mend", "data")
	return c
}

func (t *terminal) printVerdicts(verdicts []node.Verdict, asJSON bool) error {
	if asJSON {
		return t.printJSON(verdicts)
	}
	rows := [][]string{{"ROOM", "EVENTS", "HASH", "FOLDED", "SNAPSHOTS", "VERDICT"}}
	for _, v := range verdicts {
		verdict := "whole"
		if len(v.Mended) > 0 {
			verdict = "mended: " + strings.Join(v.Mended, ", ")
		}
		if v.Error != "" {
			verdict = v.Error
		}
		rows = append(rows, []string{v.Room, fmt.Sprint(v.Seq), v.Hash[:min(12, len(v.Hash))], fmt.Sprint(v.Folded), fmt.Sprint(v.Snapshots), verdict})
	}
	return t.printTable(rows)
}

// verifyFolder looks into the data folder of a node, or into its log's own.
func verifyFolder(ctx context.Context, data string, take func(node.Verdict) error) error {
	dir := data
	if info, err := os.Stat(filepath.Join(data, "log")); err == nil && info.IsDir() {
		dir = filepath.Join(data, "log")
	}
	err := etcdlog.VerifyDir(ctx, dir, func(r eventlog.Report) error { return take(node.VerdictOf(r)) })
	if errors.Is(err, eventlog.ErrBroken) {
		return nil // the verdicts say so
	}
	return err
}

func verifyNode(ctx context.Context, admin string, mend bool, take func(node.Verdict) error) error {
	method := http.MethodGet
	if mend {
		method = http.MethodPost
	}
	body, err := askAdmin(ctx, admin, method, "/v1/log/verify", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := json.NewDecoder(bufio.NewReader(body))
	for {
		var v node.Verdict
		switch err := lines.Decode(&v); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("the node broke off: %w", err)
		}
		if err := take(v); err != nil {
			return err
		}
	}
}

func newLog(t *terminal) *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Back up, restore, grow and shrink the control log",
		Long: `The control log holds the decisions of every room. Where three or more nodes keep it between them, one
of them may be lost; a backup is for when more are.

  rotunda log backup --out rooms.backup
  rotunda log restore rooms.backup          into a mesh whose log is empty
  rotunda log members
  rotunda log add https://10.0.0.4:2380     then start that node, listed in log.control everywhere, with log.join
  rotunda log remove fra-2`,
	}
	c.AddCommand(newBackup(t), newRestore(t), newLogMembers(t), newLogAdd(t), newLogRemove(t))
	return c
}

func newBackup(t *terminal) *cobra.Command {
	var admin, out string
	c := &cobra.Command{
		Use:   "backup --out FILE",
		Short: "Write everything that the log holds, while it goes on",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := askAdmin(c.Context(), admin, http.MethodGet, "/v1/log/backup", nil)
			if err != nil {
				return err
			}
			defer body.Close()
			n, err := writeNew(out, body)
			if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "%s  %d bytes\n", out, n)
			return nil
		},
	}
	adminFlag(c, &admin)
	c.Flags().StringVar(&out, "out", "", "file to write; it must not exist")
	c.MarkFlagRequired("out")
	return c
}

// writeNew writes a file that did not exist, whole or not at all.
func writeNew(name string, r io.Reader) (n int64, err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(name)
		}
	}()
	if n, err = io.Copy(f, r); err != nil {
		return n, fmt.Errorf("the node broke off: %w", err)
	}
	return n, f.Sync()
}

func newRestore(t *terminal) *cobra.Command {
	var admin string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup into a log that is empty, and verify it",
		Args:  oneArgument,
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			body, err := askAdmin(c.Context(), admin, http.MethodPost, "/v1/log/restore", f)
			if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "restored %s; restart the nodes\n", args[0])
			return body.Close()
		},
	}
	adminFlag(c, &admin)
	return c
}

func newLogMembers(t *terminal) *cobra.Command {
	var admin string
	var asJSON bool
	c := &cobra.Command{
		Use:   "members",
		Short: "List the nodes that keep the log",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var members []struct {
				Name    string `json:"name"`
				Peer    string `json:"peer"`
				Learner bool   `json:"learner"`
			}
			if err := fromAdmin(c.Context(), admin, "/v1/log/members", &members); err != nil {
				return err
			}
			if asJSON {
				return t.printJSON(members)
			}
			rows := [][]string{{"NODE", "PEER", "STATE"}}
			for _, m := range members {
				state := "keeps the log"
				if m.Learner {
					state = "is taking it over"
				}
				rows = append(rows, []string{m.Name, m.Peer, state})
			}
			return t.printTable(rows)
		},
	}
	adminFlags(c, &admin, &asJSON)
	return c
}

func newLogAdd(t *terminal) *cobra.Command {
	var admin string
	c := &cobra.Command{
		Use:   "add PEER",
		Short: "Prepare the log for one more node, at https://HOST:PORT",
		Args:  oneArgument,
		RunE: func(c *cobra.Command, args []string) error {
			member, err := json.Marshal(map[string]string{"peer": args[0]})
			if err != nil {
				return err
			}
			body, err := askAdmin(c.Context(), admin, http.MethodPost, "/v1/log/members", bytes.NewReader(member))
			if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "%s may join; start it now, and add one node at a time\n", args[0])
			return body.Close()
		},
	}
	adminFlag(c, &admin)
	return c
}

func newLogRemove(t *terminal) *cobra.Command {
	var admin string
	c := &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a node, alive or dead, out of those that keep the log",
		Args:  oneArgument,
		RunE: func(c *cobra.Command, args []string) error {
			body, err := askAdmin(c.Context(), admin, http.MethodDelete, "/v1/log/members/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "%s keeps the log no more; its log folder is of no use now\n", args[0])
			return body.Close()
		},
	}
	adminFlag(c, &admin)
	return c
}

func adminFlag(c *cobra.Command, admin *string) {
	c.Flags().StringVar(admin, "admin", adminDefault, "admin address of any node that keeps the log")
}

// askAdmin asks a node's admin address and returns the answer's body, to be closed.
func askAdmin(ctx context.Context, address, method, path string, body io.Reader) (io.ReadCloser, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	q, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(address, "/")+path, body)
	if err != nil {
		return nil, usageError{err}
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, fmt.Errorf("no answer from a node's admin address (--admin): %w", err)
	}
	if a.StatusCode < 300 {
		return a.Body, nil
	}
	defer a.Body.Close()
	var problem struct {
		Error string `json:"error"`
	}
	if json.NewDecoder(io.LimitReader(a.Body, 1<<16)).Decode(&problem) != nil || problem.Error == "" {
		return nil, fmt.Errorf("%s %s: %s", method, path, a.Status)
	}
	return nil, errors.New(problem.Error)
}
