//go:build !linux

package bench

import (
	"context"
	"time"
)

type rawConfig struct {
	listeners, size, likePID int
	every                    time.Duration
}

type rawFigures struct{ perPacket, perSecond float64 }

func rawLimit(context.Context, rawConfig) (rawFigures, error) { return rawFigures{}, errSystem }
