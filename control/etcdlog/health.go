package etcdlog

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"rotunda/control/eventlog"
)

// Ping implements eventlog.Log: a read that needs the leader's word, and that no member has raised an alarm. An etcd whose
// disk has failed it answers no read of that kind any more; one that is full, or has found that members differ, raises an
// alarm and refuses appends until somebody has looked.
func (l *Log) Ping(ctx context.Context) error {
	alarms, err := ask(ctx, l, func(ctx context.Context) ([]*etcdserverpb.AlarmMember, error) {
		if _, err := l.client.Get(ctx, prefix+"ping"); err != nil {
			return nil, err
		}
		resp, err := l.client.AlarmList(ctx)
		if err != nil {
			return nil, err
		}
		return resp.Alarms, nil
	})
	if err != nil {
		return err
	}
	for _, a := range alarms {
		if a.Alarm != etcdserverpb.AlarmType_NONE {
			return fmt.Errorf("%w: member %x has raised the alarm %v", eventlog.ErrUnavailable, a.MemberID, a.Alarm)
		}
	}
	return nil
}
