package rtc

import (
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLogs lets pion say what has gone wrong, at debug level: what pion warns of is a peer's doing and can be provoked with
// every packet, so it is not the operator's news and must cost nothing when nobody listens.
type pionLogs struct{ logger *slog.Logger }

// NewLogger returns the logger of one part of pion.
func (p pionLogs) NewLogger(scope string) logging.LeveledLogger {
	return pionLogger{p.logger.With("pion", scope)}
}

type pionLogger struct{ logger *slog.Logger }

func (pionLogger) Trace(string)          {}
func (pionLogger) Tracef(string, ...any) {}
func (pionLogger) Debug(string)          {}
func (pionLogger) Debugf(string, ...any) {}
func (pionLogger) Info(string)           {}
func (pionLogger) Infof(string, ...any)  {}
func (pionLogger) Warn(string)           {}
func (pionLogger) Warnf(string, ...any)  {}

func (l pionLogger) Error(msg string) { l.logger.Debug(msg) }

func (l pionLogger) Errorf(format string, args ...any) {
	if l.logger.Enabled(nil, slog.LevelDebug) { //nolint:staticcheck // no context here; handlers take nil as none
		l.logger.Debug(fmt.Sprintf(format, args...))
	}
}
