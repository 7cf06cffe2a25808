package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
)

// terminal is where a verb reads from and writes to.
type terminal struct {
	in            io.Reader
	out, err      io.Writer
	errIsTerminal bool
	colour        bool // on err
	began         bool // a verb was found and its flags understood
}

func newTerminal(in io.Reader, out, err io.Writer) *terminal {
	t := &terminal{in: in, out: out, err: err, errIsTerminal: isTerminal(err)}
	t.colour = t.errIsTerminal && os.Getenv("NO_COLOR") == "" || os.Getenv("CLICOLOR_FORCE") == "1"
	return t
}

// isTerminal reports whether w shows to a person.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device, but nobody watches it
	return err != nil || !os.SameFile(info, null)
}

// logger logs to stderr: in text to a person and in JSON to a machine, unless format says which ("text", "json").
func (t *terminal) logger(level, format string) *slog.Logger {
	return t.loggerFrom(levelOf(level), format)
}

// levelOf is the level of that name (config's log_level); info where there is no such level.
func levelOf(name string) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// loggerFrom is logger with a level that may change.
func (t *terminal) loggerFrom(least slog.Leveler, format string) *slog.Logger {
	if format == "text" || format != "json" && t.errIsTerminal {
		return slog.New(tint.NewHandler(t.err, &tint.Options{Level: least, TimeFormat: "15:04:05.000", NoColor: !t.colour}))
	}
	return slog.New(slog.NewJSONHandler(t.err, &slog.HandlerOptions{Level: least}))
}
