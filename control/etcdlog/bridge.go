package etcdlog

import (
	"context"
	"log/slog"
	"runtime"
	"slices"

	"go.uber.org/zap/zapcore"
)

// bridge is a zapcore.Core that writes warnings and errors to slog.
type bridge struct {
	logger *slog.Logger
	fields []zapcore.Field
}

// ordinary are warnings of etcd about what is meant to be so here, or passes by itself: a new store has no version yet when
// etcd looks for the first time, and it looks every five seconds.
var ordinary = []string{
	"Failed to detect schema version",
	"failed to update storage version",
	"Running http and grpc server on single port. This is not recommended for production.",
	"simple token is not cryptographically signed",
}

func (b *bridge) Enabled(level zapcore.Level) bool { return level >= zapcore.WarnLevel }

func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	return &bridge{logger: b.logger, fields: append(slices.Clip(b.fields), fields...)}
}

func (b *bridge) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !b.Enabled(e.Level) || slices.Contains(ordinary, e.Message) {
		return c
	}
	return c.AddCore(e, b)
}

func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelWarn
	if e.Level > zapcore.WarnLevel {
		level = slog.LevelError
	}
	values := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(b.fields, fields) {
		f.AddTo(values)
	}
	attrs := make([]slog.Attr, 0, len(values.Fields))
	for key, value := range values.Fields {
		attrs = append(attrs, slog.Any(key, value))
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return compare(a.Key, b.Key) })
	b.logger.LogAttrs(context.Background(), level, e.Message, attrs...)
	return nil
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func (b *bridge) Sync() error { return nil }

// endGoroutine is what happens after etcd has logged something fatal.
type endGoroutine struct{}

func (endGoroutine) OnWrite(*zapcore.CheckedEntry, []zapcore.Field) { runtime.Goexit() }
