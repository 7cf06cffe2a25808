// Command rotunda is the whole of Rotunda in one file: the node, a mesh for trying it on one machine, the operator's tools,
// and a speaker and a listener for the terminal. Each verb has a file of its own; run is what main and the tests call.
//
// The invariant: what the user asked for goes to stdout, everything else to stderr; the exit status is 0 when it was done,
// 1 when it failed while running, and 2 when it was asked for in a wrong way.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"rotunda/node/config"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	reloads := len(os.Args) > 1 && os.Args[1] == nodeVerb // it reads its configuration again
	if !reloads && !signal.Ignored(syscall.SIGHUP) {      // nohup wants us to live on
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop) // whoever asks a second time does not want to wait
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run does what args ask for until it is done or ctx ends, and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := newTerminal(stdin, stdout, stderr)
	root := newRoot(t)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		if t.errIsTerminal {
			fmt.Fprintln(t.err, problems.Explain())
		} else {
			fmt.Fprintln(t.err, problems)
		}
		return exitUsage
	case !t.began || errors.As(err, new(usageError)): // cobra refuses what it does not understand before a verb begins
		fmt.Fprintf(t.err, "rotunda: %v\n", err)
		fmt.Fprintln(t.err, "rotunda: `rotunda help` lists what there is, `rotunda VERB --help` says how")
		return exitUsage
	}
	fmt.Fprintf(t.err, "rotunda: %v\n", err)
	return exitFailed
}

// usageError is a mistake in what was asked for, as opposed to a failure in doing it.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// oneArgument wants the one that the command's line of use names.
func oneArgument(c *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return usagef("want `%s`, got %d arguments", c.UseLine(), len(args))
}

func newRoot(t *terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "rotunda",
		Short: "Live audio rooms for a global audience, on your own edge nodes",
		Long: `Rotunda carries live audio rooms: a host speaks on the node nearest to them, people
everywhere listen on the node nearest to them.

Try it on this machine: a mesh of three regions, with its web page on the first port.

  rotunda up
  rotunda speak http://127.0.0.1:8080 --tone 440        opens a room and prints its link
  rotunda listen LINK --out heard.opus

While it runs, from another terminal:

  rotunda members                                       the nodes
  rotunda top                                           all of it, live
  rotunda trace ROOM                                    one room: who speaks where, age and loss per hop
  rotunda drain eu-west-1                               empties a node and stops it, unheard

For machines of your own: rotunda certs --help, then rotunda keygen --help, then rotunda node --help.
Words that TAB completes, rooms and nodes among them: rotunda completion bash --help (zsh, fish).

Exit status: 0 done, 1 failed while running, 2 wrong use or configuration.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(c.ValidateRequiredFlags(), c.ValidateFlagGroups()); err != nil { // cobra itself would look later
				return usageError{err}
			}
			t.began = true
			return nil
		},
	}
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.SetIn(t.in)
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"}, &cobra.Group{ID: "hear", Title: "Speak and listen:"},
		&cobra.Group{ID: "operate", Title: "Look after a mesh:"}, &cobra.Group{ID: "keys", Title: "Keys and certificates:"},
	)
	add := func(group string, verbs ...*cobra.Command) {
		for _, v := range verbs {
			v.GroupID = group
			root.AddCommand(v)
		}
	}
	add("run", newUp(t), newNode(t))
	add("hear", newSpeak(t), newListen(t))
	add("operate", newMembers(t), newRooms(t), newTop(t), newTrace(t), newDrain(t), newHealth(t), newLog(t), newVerify(t), newBench(t), newSim(t), newVersion(t))
	add("keys", newCerts(t), newKeygen(t), newToken(t))
	return root
}
