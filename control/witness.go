package control

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"rotunda"
	"rotunda/control/disk"
	"rotunda/control/eventlog"
)

const (
	// witnessMax is how many rooms a node remembers the latest position of, those that it has had to do with last.
	witnessMax = 10_000
	// witnessEvery is how often what is new is written and synced. What is lost with a node's power are the last seconds of
	// its memory: it then vouches for a little less.
	witnessEvery = time.Second
	// witnessBytesMax bounds the file: a line has at most 20 + 64 + 64 bytes and 3 more.
	witnessBytesMax = (witnessMax + 2) * 151
)

// witness is the last position that this node has seen of each room, also before a restart: a log that does not contain it
// is not the one that was there. Without a path it is this process's memory only.
//
// The file has a line for each room, the latest last, and one with a sum over those before:
//
//	<seq> <hash, 64 hex digits> <room>
//	sha256 <64 hex digits>
type witness struct {
	disk   *disk.Disk
	path   string
	logger *slog.Logger

	mu    sync.Mutex // guards the rest
	seen  map[rotunda.RoomID]seen
	count uint64 // of notes
	dirty bool
}

type seen struct {
	at   eventlog.Position
	note uint64 // grows with every note: the oldest are forgotten first
}

func newWitness(d *disk.Disk, path string, logger *slog.Logger) *witness {
	return &witness{disk: d, path: path, logger: logger, seen: map[rotunda.RoomID]seen{}}
}

// note remembers a position, unless a later one is known.
func (w *witness) note(id rotunda.RoomID, at eventlog.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.Seq <= w.seen[id].at.Seq {
		return
	}
	w.count++
	w.seen[id] = seen{at, w.count}
	w.dirty = true
	if len(w.seen) > witnessMax {
		lines := w.sorted()
		for _, l := range lines[:witnessMax/10] { // several at once: sorting takes a while
			delete(w.seen, l.room)
		}
	}
}

// position is the last position known of a room.
func (w *witness) position(id rotunda.RoomID) (eventlog.Position, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.seen[id]
	return s.at, ok
}

type witnessLine struct {
	room rotunda.RoomID
	seen
}

// sorted lists what is known, the oldest notes first. The caller holds w.mu.
func (w *witness) sorted() []witnessLine {
	lines := make([]witnessLine, 0, len(w.seen))
	for id, s := range w.seen {
		lines = append(lines, witnessLine{id, s})
	}
	slices.SortFunc(lines, func(a, b witnessLine) int { return cmp.Compare(a.note, b.note) })
	return lines
}

// load reads the file. One that is damaged vouches for nothing: it is set aside, loudly.
func (w *witness) load() {
	if w.path == "" {
		return
	}
	b, err := os.ReadFile(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = w.parse(b)
	}
	if err != nil {
		w.logger.Error("witness of the control log cannot be read: set aside", "file", w.path, "error", err)
		if err := os.Rename(w.path, w.path+".damaged"); err != nil {
			w.logger.Error("witness of the control log", "error", err)
		}
	}
}

var errWitness = errors.New("damaged")

// parse takes over what a file says, all or nothing.
func (w *witness) parse(b []byte) error {
	body := bytes.LastIndexByte(bytes.TrimSuffix(b, []byte("\n")), '\n') + 1
	if len(b) > witnessBytesMax || string(b[body:]) != witnessSum(b[:body]) {
		return errWitness
	}
	known, count := map[rotunda.RoomID]seen{}, uint64(0)
	for line := range bytes.Lines(b[:body]) {
		var s seen
		var hash []byte
		var id rotunda.RoomID
		if n, err := fmt.Sscanf(string(line), "%d %x %s\n", &s.at.Seq, &hash, &id); n != 3 || err != nil || len(hash) != len(s.at.Hash) || id.Valid() != nil {
			return errWitness
		}
		copy(s.at.Hash[:], hash)
		count++
		s.note = count
		known[id] = s
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.count = known, count
	return nil
}

func witnessSum(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256 " + hex.EncodeToString(sum[:]) + "\n"
}

// run writes what is new until ctx ends, and once more then.
func (w *witness) run(ctx context.Context) error {
	tick := time.NewTicker(witnessEvery)
	defer tick.Stop()
	for {
		var ended error
		select {
		case <-ctx.Done():
			ended = ctx.Err()
		case <-tick.C:
		}
		if err := w.save(); err != nil {
			w.logger.Error("witness of the control log is not written", "file", w.path, "error", err)
		}
		if ended != nil {
			return ended
		}
	}
}

// save writes the file where there is something new: whole, synced and then in its place.
func (w *witness) save() error {
	w.mu.Lock()
	if w.path == "" || !w.dirty {
		w.mu.Unlock()
		return nil
	}
	w.dirty = false
	lines := w.sorted()
	w.mu.Unlock()
	var b bytes.Buffer
	for _, l := range lines {
		fmt.Fprintf(&b, "%d %x %s\n", l.at.Seq, l.at.Hash[:], l.room)
	}
	b.WriteString(witnessSum(b.Bytes()))
	err := w.disk.Replace(w.path, b.Bytes())
	if err != nil {
		w.mu.Lock()
		w.dirty = true
		w.mu.Unlock()
	}
	return err
}

// checkWitness compares what this node saw before its restart with the log, room by room, so that a log that was rolled
// back is said at once and not when somebody opens the room. Rooms are refused when they are opened; here it is only said.
func (c *Control) checkWitness(ctx context.Context, before []witnessLine) error {
	broken := 0
	for _, l := range before {
		for {
			rctx, cancel := context.WithTimeout(ctx, commandMax)
			_, _, err := c.cfg.Log.Read(rctx, l.room, l.at, 1)
			cancel()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, eventlog.ErrUnavailable) {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(brokenWait):
				}
				continue
			}
			if errors.Is(err, eventlog.ErrBroken) {
				broken++
				c.cfg.Metrics.LogDamaged.Inc()
				c.cfg.Logger.Error("the log is not the one that this node knew", "room", l.room, "error", err)
			}
			break
		}
	}
	if broken > 0 {
		c.cfg.Logger.Error("the log was rolled back or is damaged: these rooms are refused", "rooms", broken, "of", len(before))
	}
	return nil
}
