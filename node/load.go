package node

import (
	"runtime"
	"syscall"
	"time"
)

// cpuMeter measures how much of the machine this process uses.
type cpuMeter struct {
	at   time.Time
	used time.Duration
}

// share is the part of all cores, 0 to 1, that the process has used since the last call; 0 the first time.
func (m *cpuMeter) share(now time.Time) float32 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	last := *m
	m.at, m.used = now, used
	if last.at.IsZero() || !now.After(last.at) {
		return 0
	}
	share := float32(used-last.used) / float32(now.Sub(last.at)) / float32(runtime.NumCPU())
	return min(1, max(0, share))
}
