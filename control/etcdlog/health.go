package etcdlog

import (
	"context"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"rotunda/control/eventlog"
)

// Ping implements eventlog.Log: a read that needs the leader's word, and that no member has raised an alarm. An etcd whose
// disk has failed it answers no read of that kind any more; one that is full, or has found that members differ, raises an
// alarm and refuses appends until somebody has looked. Nothing is written for it: etcd's own list of alarms would be, and
// synced by every member, each time that any node asks.
func (l *Log) Ping(ctx context.Context) error {
	alarms, err := ask(ctx, l, func(ctx context.Context) ([]string, error) {
		if _, err := l.client.Get(ctx, prefix+"ping"); err != nil {
			return nil, err
		}
		return l.alarms(ctx)
	})
	if err != nil {
		return err
	}
	if len(alarms) > 0 {
		return fmt.Errorf("%w: alarm raised: %s", eventlog.ErrUnavailable, strings.Join(alarms, ", "))
	}
	return nil
}

// alarms are those that one member, this one where this node is one, knows of.
func (l *Log) alarms(ctx context.Context) (raised []string, err error) {
	if l.server != nil {
		for _, a := range l.server.Server.Alarms() {
			raised = append(raised, a.String())
		}
		return raised, nil
	}
	// By the connection that is there: the client's own Status makes one for each question.
	status, err := etcdserverpb.NewMaintenanceClient(l.client.ActiveConnection()).Status(ctx, &etcdserverpb.StatusRequest{})
	if err != nil {
		return nil, err
	}
	return status.Errors, nil
}
