package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rotunda/control/disk"
	"rotunda/control/eventlog"
)

// The longer run: make kills.
var (
	killDecisions = flag.Int("kill.decisions", 0, "TestKilled goes on until so many decisions were acknowledged, in many rooms at once")
	killTime      = flag.Duration("kill.time", 15*time.Minute, "and no longer than this")
)

// killRooms is in how many rooms the longer run decides at once: the log syncs the appends of all of them together.
const killRooms = 48

// killLife is how long a process of the longer run works at most.
const killLife = 20 * time.Second

// killLast is how long one works at most that does not come to where it is to be killed: the next one says what is wrong with it.
const killLast = 2 * time.Minute

// killParts is how many folders processes are killed over side by side.
const killParts = 3

// killExtra is how many processes more there are at most where those before have decided too little.
const killExtra = 10

// A kill is where a process ends: at the N-th step of that kind, before it, during it or after it and before anybody is
// told. The kind "moment" is any moment.
type kill struct {
	Kind  string // append, snapshot, prune: of the log; "outbox write" and so on: of a file; moment
	When  string // before, during, after
	N     int
	Delay time.Duration
	At    time.Duration // then at the latest; 0: none
	Round int
	Rooms int
}

// killSites lists each kind of step that changes anything on the disk, before it, during it and after it.
func killSites() (sites []kill) {
	kinds := []string{"append", "snapshot", "prune", "outbox " + disk.Remove}
	for _, step := range []string{disk.Open, disk.Write, disk.Sync, disk.Rename, disk.SyncFolder} {
		kinds = append(kinds, "outbox "+step, "witness "+step)
	}
	for _, kind := range kinds {
		for _, when := range []string{"before", "during", "after"} {
			sites = append(sites, kill{Kind: kind, When: when})
		}
	}
	return append(sites, kill{Kind: "moment"})
}

// What a process can say of a command or a file before it is killed.
const (
	ackKept    = "kept"    // by the log: the position is one of its chain, and the command's first event is there
	ackFact    = "fact"    // without the log, which is to have it later
	ackRefused = "refused" // nothing has happened
	ackBegun   = "begun"   // a command, by its key: the next process gives it again if nobody said what became of it
	ackWitness = "witness" // the file of the last positions is on the disk, and has this one
)

// ack is what a process said.
type ack struct {
	room roomID
	what string
	id   string // of the command's first event
	at   eventlog.Position
}

func (a ack) String() string {
	return fmt.Sprintf("%s %s %s %d %x", a.room, a.what, a.id, a.at.Seq, a.at.Hash[:])
}

func parseAck(line string) (a ack, err error) {
	var hash []byte
	_, err = fmt.Sscanf(line, "%s %s %s %d %x", &a.room, &a.what, &a.id, &a.at.Seq, &hash)
	if err == nil && len(hash) != len(a.at.Hash) {
		err = errors.New("cut off")
	}
	copy(a.at.Hash[:], hash)
	return a, err
}

// A process that decides about rooms is killed at every step by which it changes the disk, again and again, over one folder:
// what it appends and folds, the decisions that it keeps while the log is away, and the file of what it has seen. The next
// process finds all that was acknowledged, in the same order and once, and nothing that was refused; what was begun and not
// answered it is told again under the same key, and that is there once, too. There is neither half a file nor a log that folding
// has left unreadable.
func TestKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("ROTUNDA_SEED"), 10, 64); err == nil {
		seed = s
	}
	random := rand.New(rand.NewPCG(seed, 0))
	sites := killSites()
	random.Shuffle(len(sites), func(i, j int) { sites[i], sites[j] = sites[j], sites[i] })
	if *killDecisions > 0 {
		k := newKilling(t, seed, killRooms)
		for i, began := 0, time.Now(); k.decisions < *killDecisions && time.Since(began) < *killTime; i++ {
			k.round(sites[i%len(sites)])
		}
		k.end()
		return
	}
	if testing.Short() { // folding comes after some hundred decisions, which take most of a minute
		sites = slices.DeleteFunc(sites, func(at kill) bool { return at.Kind == "snapshot" || at.Kind == "prune" })[:2*killParts]
	}
	for part := range killParts {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			k := newKilling(t, seed+uint64(part), 1)
			for i := part; i < len(sites); i += killParts {
				k.round(sites[i])
			}
			for extra := 0; k.few() && extra < killExtra; extra++ { // on a slow machine a life may end before it has done anything
				k.round(kill{Kind: "append", When: "after"})
			}
			k.end()
		})
	}
}

// killing is the processes one after the other and what they have said.
type killing struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	dir    string
	rooms  int // that each decides about

	rounds, decisions, facts, refused int

	recent          []ack // of the last process
	last, witnessed map[roomID]ack
	begun           map[roomID]ack // nobody has said what became of it
}

func newKilling(t *testing.T, seed uint64, rooms int) *killing {
	return &killing{
		t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), rooms: rooms,
		last: map[roomID]ack{}, witnessed: map[roomID]ack{}, begun: map[roomID]ack{},
	}
}

// end is the life of a process that only looks.
func (k *killing) end() {
	k.life(kill{Kind: "end"})
	k.t.Logf("seed %d: killed %d times; %d decisions were acknowledged, %d of them without the log, and %d refused", k.seed, k.rounds, k.decisions, k.facts, k.refused)
	if k.few() {
		k.t.Error("too few: the test shows nothing")
	}
}

// few reports whether too little was decided for the test to show anything.
func (k *killing) few() bool { return k.decisions < k.rounds || k.refused == 0 }

// round is the life of a process that is killed.
func (k *killing) round(at kill) {
	at.N, at.At, at.Delay = 1, killLast, time.Duration(k.random.IntN(400))*time.Microsecond
	switch {
	case at.Kind == "moment":
		at.Delay = time.Duration(k.random.IntN(1200)) * time.Millisecond
	case at.Kind == "append":
		at.N += k.random.IntN(50)
	case strings.HasPrefix(at.Kind, "outbox"):
		at.N += k.random.IntN(4)
	}
	if k.rooms > 1 { // most of the time goes by in starting: let them work
		at.At = killLife
		switch at.Kind {
		case "append":
			at.N = 1 + k.random.IntN(10_000)
		case "snapshot", "prune":
			at.N += k.random.IntN(20)
		case "moment":
			at.Delay = time.Duration(k.random.Int64N(int64(killLife)))
		default:
			at.N += k.random.IntN(10)
		}
	}
	k.life(at)
	if k.t.Failed() {
		k.t.Fatalf("seed %d, round %d, killed at %+v", k.seed, k.rounds, at)
	}
	k.rounds++
}

// life runs a process that checks what the ones before it said and goes on until it is killed.
func (k *killing) life(at kill) {
	k.t.Helper()
	at.Round, at.Rooms = k.rounds, k.rooms
	order, err := json.Marshal(at)
	if err != nil {
		k.t.Fatal(err)
	}
	var in, out, problems bytes.Buffer
	for _, acks := range []map[roomID]ack{k.last, k.witnessed, k.begun} {
		for _, a := range acks {
			fmt.Fprintln(&in, a)
		}
	}
	for _, a := range k.recent {
		fmt.Fprintln(&in, a)
	}
	child := exec.CommandContext(k.t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
	child.Env = append(os.Environ(), "ROTUNDA_TEST_DIR="+k.dir, "ROTUNDA_TEST_KILL="+string(order))
	child.Stdin, child.Stdout, child.Stderr = &in, &out, &problems
	err = child.Run()
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	before := k.recent
	k.recent = nil
	checked := false
	for line := range strings.Lines(out.String()) {
		switch a, err := parseAck(line); {
		case line == "checked\n":
			checked = true
		case err == nil && strings.HasSuffix(line, "\n"):
			k.note(a)
		}
	}
	if !checked || at.Kind != "end" && !killed {
		k.t.Errorf("round %d: %v\n%s%s", k.rounds, err, out.String()[max(0, out.Len()-2000):], problems.String())
	}
	// What came without the log may come into it in a later life, which may be a short one.
	k.recent = append(slices.DeleteFunc(before, func(a ack) bool { return a.what != ackFact }), k.recent...)
	k.recent = k.recent[max(0, len(k.recent)-100_000):]
}

func (k *killing) note(a ack) {
	if a.what == ackBegun {
		k.begun[a.room] = a
		return
	}
	k.recent = append(k.recent, a)
	if a.what != ackWitness {
		delete(k.begun, a.room)
	}
	switch a.what {
	case ackKept:
		k.decisions++
		k.last[a.room] = a
	case ackFact:
		k.decisions++
		k.facts++
	case ackRefused:
		k.refused++
	case ackWitness:
		k.witnessed[a.room] = a
	}
}
