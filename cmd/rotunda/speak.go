package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/rtc"
)

const (
	leadIn      = 200 * time.Millisecond // silence before the sound, while the gate opens along the way
	leadOut     = 200 * time.Millisecond // and after it, so that no decoder stops in the middle of a word
	lastWords   = time.Second            // between the end of the sound and the end of the room, until all have heard it
	goodbye     = 3 * time.Second        // for everything that is owed to the node at the end
	connectTime = 15 * time.Second       // for a media connection to come up
)

type speakOptions struct {
	file, token, name, title string
	tone                     float64
	regions                  []string // of a new room; none: it may be anywhere
	hitless                  string   // of a new room; empty: as each node is configured
	duration                 time.Duration
	keep                     bool
}

func newSpeak(t *terminal) *cobra.Command {
	var o speakOptions
	c := &cobra.Command{
		Use:   "speak ROOM_URL (--file talk.wav | --tone 440)",
		Short: "Speak in a room from the terminal",
		Long: `Speak in a room: a WAV or Ogg Opus file, or a tone.

  rotunda speak http://127.0.0.1:8080/r/k3v9 --file talk.wav --name Ada
  rotunda speak http://127.0.0.1:8080 --tone 440 --duration 30s
  rotunda speak http://127.0.0.1:8080 --tone 440 --regions eu-west,eu-central

Whoever is not on the room's stage asks to speak and waits for a host's approval. With a node's bare
address a new room is opened, you are its host, its link is printed, and it ends when you are done
(unless --keep); with --regions its sound and its content never leave these. Without --token you are
a guest, where the node takes guests.`,
		Args: oneArgument,
		RunE: func(c *cobra.Command, args []string) error {
			if o.duration < 0 {
				return usagef("--duration %v is negative", o.duration)
			}
			return speak(c.Context(), t, args[0], o)
		},
	}
	c.Flags().StringVar(&o.file, "file", "", "WAV or Ogg Opus file to say")
	c.Flags().Float64Var(&o.tone, "tone", 0, "tone to hold, in Hz")
	c.Flags().DurationVar(&o.duration, "duration", 0, "how long to speak at most (default: to the end of the file; a tone, until Ctrl-C)")
	c.Flags().StringVar(&o.token, "token", "", "your token; without one you are a guest")
	c.Flags().StringVar(&o.name, "name", "Terminal", "your name, as a guest")
	c.Flags().StringVar(&o.title, "title", "A room from the terminal", "title of a new room")
	c.Flags().StringVar(&o.hitless, "hitless", "", "program or off: the new room's sound goes by two ways between nodes, or by one (default: as each node is configured)")
	c.Flags().StringSliceVar(&o.regions, "regions", nil, "regions that a new room is kept in for good, the node's own among them (default: it may be anywhere)")
	c.Flags().BoolVar(&o.keep, "keep", false, "leave a room that was opened here open at the end")
	c.MarkFlagsMutuallyExclusive("file", "tone")
	c.MarkFlagsOneRequired("file", "tone")
	return c
}

func speak(ctx context.Context, t *terminal, link string, o speakOptions) (err error) {
	base, id, err := parseRoomURL(link)
	if err != nil {
		return usageError{err}
	}
	switch {
	case id != "" && len(o.regions) > 0:
		return usagef("--regions is for a new room: where room %s is kept was decided when it was made", id)
	case id != "" && o.hitless != "":
		return usagef("--hitless is for a new room: by how many ways room %s travels was decided when it was made", id)
	}
	var s sound
	if o.file != "" {
		s, err = openSound(o.file)
	} else {
		s, err = newTone(o.tone)
	}
	if err != nil {
		return err
	}
	framed, err := newFramed(s, leadIn, o.duration, leadOut)
	if err != nil {
		return err
	}
	c, err := newClient(ctx, base, o.token, o.name)
	if err != nil {
		return err
	}
	p := &speaker{client: c, room: id, log: t.logger("info", "")}
	if id == "" {
		if err := p.open(ctx, o.title, o.regions, o.hitless); err != nil {
			return err
		}
		fmt.Fprintln(t.out, c.link(p.room))
		if !o.keep {
			defer func() { err = errors.Join(err, p.end(ctx)) }()
		}
	}
	connection, err := p.connect(ctx)
	if err != nil {
		return unlessAsked(ctx, err)
	}
	v := newMouth(ctx, p, connection)
	err = p.taken(ctx)
	if err == nil {
		err = p.setMuted(ctx, false)
	}
	if err != nil {
		v.leave(connection)
		v.leaving.Wait()
		return unlessAsked(ctx, fmt.Errorf("unmute: %w", err))
	}
	p.log.Info("speaking", "room", p.room, "node", connection.NodeURL())
	said, err := v.say(ctx, framed)
	p.client = p.at(v.route.base())
	// The stage is left in order, whatever happened on it; leaving mutes as well.
	gctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	_ = p.setMuted(gctx, true)
	v.leave(v.session())
	v.leaving.Wait()
	if err != nil {
		return unlessAsked(ctx, err)
	}
	p.log.Info("done", "said", said.String())
	return nil
}

// taken waits until the room's log knows the microphone: what mutes whoever connects one comes with that.
func (p *speaker) taken(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	return p.watch(ctx, p.room, func(v room.View) (more bool, err error) {
		if v.State == room.Ended {
			return false, errEnded
		}
		return !v.Participants[p.user].Live, nil
	})
}

// setMuted opens or shuts the speaker's own microphone in the room's log.
func (p *speaker) setMuted(ctx context.Context, muted bool) error {
	method := http.MethodDelete
	if muted {
		method = http.MethodPost
	}
	return p.call(ctx, method, p.roomPath(p.room, "/participants/"+string(p.user)+"/mute"), nil, nil)
}

// unlessAsked is err, or nil where the person ended it.
func unlessAsked(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// speaker is somebody on their way to a stage.
type speaker struct {
	*client
	room rotunda.RoomID
	log  *slog.Logger
}

// open opens a room with the speaker as its host.
func (p *speaker) open(ctx context.Context, title string, regions []string, hitless string) error {
	var v room.View
	asked := struct {
		Title   string   `json:"title"`
		Regions []string `json:"regions,omitempty"`
		Hitless string   `json:"hitless,omitempty"`
	}{title, regions, hitless}
	if err := p.call(ctx, http.MethodPost, "/v1/rooms", asked, &v); err != nil {
		return fmt.Errorf("open a room: %w", err)
	}
	p.room = v.ID
	return nil
}

// end ends the room when its last words have been heard.
func (p *speaker) end(ctx context.Context) error {
	select {
	case <-time.After(lastWords):
	case <-ctx.Done(): // in a hurry
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if err := p.call(ctx, http.MethodPost, p.roomPath(p.room, "/end"), nil, nil); err != nil {
		return fmt.Errorf("end the room: %w", err)
	}
	return nil
}

// connect opens the speaker's media connection, asking to speak first where that is needed.
func (p *speaker) connect(ctx context.Context) (*rtc.Publisher, error) {
	v, err := p.client.room(ctx, p.room)
	if err != nil {
		return nil, err
	}
	if says, _ := readClaims(p.token); !v.Participants[p.user].Role.OnStage() && !(says.Room == p.room && says.Role.OnStage()) {
		if err := p.ask(ctx); err != nil {
			return nil, err
		}
	}
	connection, err := p.publish(ctx)
	var refusal *rtc.HTTPError
	if errors.As(err, &refusal) && refusal.Status == http.StatusForbidden { // a token's promise that the room's log has taken back
		if err := p.ask(ctx); err != nil {
			return nil, err
		}
		return p.publish(ctx)
	}
	return connection, err
}

func (p *speaker) publish(ctx context.Context) (*rtc.Publisher, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	return rtc.DialPublisher(ctx, rtc.ClientConfig{URL: p.base + p.roomPath(p.room, "/whip"), Token: p.token, Logger: p.log})
}

// ask asks to speak and waits for the answer.
func (p *speaker) ask(ctx context.Context) error {
	if err := p.call(ctx, http.MethodPost, p.roomPath(p.room, "/requests"), struct{}{}, nil); err != nil {
		return fmt.Errorf("ask to speak: %w", err)
	}
	p.log.Info("asked to speak: waiting for a host's approval", "room", p.link(p.room))
	asked := false
	err := p.watch(ctx, p.room, func(v room.View) (more bool, err error) {
		_, waiting := v.Requests[p.user]
		asked = asked || waiting
		switch {
		case v.Participants[p.user].Role.OnStage():
			return false, nil
		case v.State == room.Ended:
			return false, errors.New("the room has ended")
		case asked && !waiting:
			return false, errors.New("the host declined")
		}
		return true, nil
	})
	if ctx.Err() != nil { // nobody waits for the answer any more
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		_ = p.call(ctx, http.MethodDelete, p.roomPath(p.room, "/requests"), nil, nil) // the host may have answered meanwhile
	}
	return err
}

// microphone is what say speaks into.
type microphone interface {
	Write(opus []byte, duration time.Duration, level uint8, voice bool) error
	Skip(duration time.Duration)
}

// say sends a sound as fast as it plays, and returns how much of it was sent.
func say(ctx context.Context, s sound, to microphone) (said time.Duration, err error) {
	var pace pacer
	wait := time.NewTimer(0)
	defer wait.Stop()
	<-wait.C
	for {
		u, err := s.next()
		if errors.Is(err, io.EOF) {
			return said, nil
		}
		if err != nil {
			return said, err
		}
		wait.Reset(pace.wait(time.Now(), u.duration))
		select {
		case <-ctx.Done():
			return said, nil
		case <-wait.C:
		}
		if len(u.payload) == 0 {
			to.Skip(u.duration)
		} else if err := to.Write(u.payload, u.duration, u.level, u.level <= voiceLevel); err != nil {
			return said, err
		}
		said += u.duration
	}
}
