package room

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
)

// widest is a text of n characters that take the most bytes in JSON: "<" is escaped as \u003c.
func widest(n int) string { return strings.Repeat("<", n) }

func longUser(i int) rotunda.UserID { return rotunda.UserID(fmt.Sprintf("%064d", i)) }

// Whatever people write, the log takes it: the widest events and summaries are within its bounds.
func TestEverythingFitsTheLog(t *testing.T) {
	host := Actor{User: longUser(0), Name: widest(NameMax)}
	var list []rotunda.UserID
	for i := range AskersMax {
		list = append(list, longUser(i))
	}
	var tags []string
	for i := range TagsMax {
		tags = append(tags, fmt.Sprintf("%d%s", i, widest(TagMax-1)))
	}
	s := New(rotunda.RoomID(strings.Repeat("r", 64)))
	do := func(a Actor, cmd Command) {
		t.Helper()
		events, err := s.Decide(time.Unix(1e9, 0).Add(time.Duration(s.Seq)*time.Minute), a, cmd)
		if err != nil {
			t.Fatalf("%T: %v", cmd, err)
		}
		for _, e := range events {
			b, err := json.Marshal(e)
			if err != nil || len(b)+eventlog.IDMax > eventlog.DataMax {
				t.Errorf("%s has %d bytes, %v", e.Type, len(b), err)
			}
		}
		fold(s, events)
	}
	do(host, Create{
		Title: widest(TitleMax), Description: widest(DescriptionMax), Rules: widest(RulesMax), Tags: tags, Askers: list,
		Language: strings.TrimSuffix(strings.Repeat("abcdefgh-", 4), "-"), Node: rotunda.NodeID(strings.Repeat("n", 63)),
	})
	places := StageMax
	do(host, Edit{Policy: PolicyEdit{SpeakersMax: &places}})
	talk := map[rotunda.UserID]Seconds{}
	for i := 1; i < StageMax; i++ {
		do(Actor{User: longUser(i), Name: widest(NameMax), Role: rotunda.Speaker, Grant: true}, Claim{})
		do(Actor{User: longUser(i)}, Unmute{longUser(i)})
		talk[longUser(i)] = speakingMax
	}
	do(Actor{System: true}, Speaking{s.Home, talk})
	do(host, MuteAll{})
	do(host, Warn{User: longUser(1), Reason: widest(NoteMax)})
	do(Actor{User: longUser(1)}, Report{User: longUser(0), Reason: widest(NoteMax), Note: widest(ReportNoteMax)})
	do(host, ProposePin{URL: "https://example.org/" + strings.Repeat("x", URLMax-20), Note: widest(NoteMax)})
	bars := 0
	for ; ; bars++ {
		u := longUser(1000 + bars)
		events, err := s.Decide(time.Unix(2e9, 0), host, Remove{User: u, Everywhere: true, Reason: widest(NoteMax)})
		if err != nil {
			break
		}
		fold(s, events)
	}
	if bars < 20 {
		t.Errorf("%d people with the longest ids can be banned from all rooms", bars)
	}
	b, err := json.Marshal(s.Summary())
	if err != nil || len(b) > eventlog.SummaryMax {
		t.Errorf("a summary of %d bytes, %v", len(b), err)
	}
	t.Logf("summary of %d bytes with %d bars", len(b), bars)
}

// A room in which everything has happened as often as is remembered still has a snapshot.
func TestFullRoomHasASnapshot(t *testing.T) {
	s := cast(t)
	add := func(e Event) {
		e.Seq, e.At = s.Seq+1, time.Unix(1e9+int64(s.Seq), 0).UTC()
		s.Apply(e)
	}
	id := func(kind string, i int) rotunda.UserID {
		return rotunda.UserID(fmt.Sprintf("%s_%08x", kind, uint32(i)*2654435761))
	}
	for i := range BansMax {
		add(Event{Type: EventRemoved, User: id("b", i), By: "ada", Ban: true})
	}
	for i := range 2 * removalMax {
		add(Event{Type: EventRemoved, User: id("r", i), By: "ada"})
	}
	for i := range voicesMax + 9 {
		u := id("v", i)
		add(Event{Type: EventApproved, User: u, Name: "Somebody", SSRC: s.ssrc(u)})
		add(Event{Type: EventPublished, User: u, Node: "n1", Epoch: s.MicEpoch(u) + 1})
		add(Event{Type: EventRole, User: u, By: u, Role: rotunda.Listener})
	}
	for i := len(s.queue); i < QueueMax; i++ {
		add(Event{Type: EventRequested, User: id("q", i), Name: "Somebody", Note: strings.Repeat(fmt.Sprint(i, " "), 40)})
	}
	for i := range 2 * warnedMax {
		add(Event{Type: EventWarned, User: id("w", i), By: "ada", Reason: strings.Repeat(fmt.Sprint(i, " "), 40)})
	}
	for i := range 2 * InvitationsMax {
		add(Event{Type: EventInvited, User: id("i", i), By: "ada"})
		add(Event{Type: EventDeclined, User: id("i", i)})
	}
	for i := range 2 * adoptedMax {
		add(Event{Type: EventMuted, User: "sue", Fact: true, ID: fmt.Sprintf("%020d-0", i)})
	}
	for i := range ReportsMax {
		add(Event{Type: EventReported, By: id("a", i)})
	}
	if err := s.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
	if !s.Spent(id("nobody", 1), rotunda.Speaker) || s.Spent("sue", rotunda.Host) {
		t.Error("whose grants count is not known any more: only those of whom something is remembered do")
	}
	if u := id("v", 0); s.SSRC(u) != 0 || s.epochFloor == 0 {
		t.Errorf("the first of %d voices is remembered: %d", voicesMax+9, s.SSRC(u))
	}
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, s)
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, flate.BestSpeed)
	w.Write(b)
	w.Close()
	if packed.Len() > eventlog.SnapshotMax {
		t.Errorf("a snapshot of %d bytes, packed %d", len(b), packed.Len())
	}
	t.Logf("a full room: %d bytes, packed %d", len(b), packed.Len())
}
