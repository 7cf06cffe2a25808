package listen

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/metrics"
	"rotunda/node/edge"
	"rotunda/node/opus"
	"rotunda/node/pcm"
)

// What is sent is heard, silence between the packets included.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enc, err := opus.NewEncoder(opus.EncoderConfig{})
		if err != nil {
			t.Fatal(err)
		}
		s := New(metrics.Discard())
		w := httptest.NewRecorder()
		ended := make(chan struct{})
		go func() { s.Serve(t.Context(), w); close(ended) }()
		tone := pcm.Tone{Hertz: 440, Amplitude: 0.3}
		samples, b := make([]float32, rotunda.FrameTicks), make([]byte, rotunda.PayloadMax)
		for i := range 100 {
			tone.Fill(samples)
			n, err := enc.Encode(samples, b)
			if err != nil {
				t.Fatal(err)
			}
			ts := uint32(7000 + i*rotunda.FrameTicks)
			if i >= 50 {
				ts += rotunda.ClockRate // a second of silence that was not sent
			}
			s.Send(0, &edge.Packet{Timestamp: ts, Payload: b[:n]})
			synctest.Wait()
		}
		s.Close()
		<-ended
		if got := w.Header().Get("Content-Type"); got != "audio/ogg; codecs=opus" {
			t.Errorf("Content-Type %q", got)
		}
		heard, err := opus.DecodeFile(bytes.NewReader(w.Body.Bytes()), 10*pcm.Rate)
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(len(heard)) / pcm.Rate; got < 2.9 || got > 3.1 {
			t.Errorf("%.2f s of sound, want 3", got)
		}
		if a := pcm.ToneAmplitude(heard[pcm.Rate/2:pcm.Rate], 440); a < 0.25 {
			t.Errorf("the tone's amplitude is %.2f, want 0.3", a)
		}
	})
}

// A player that does not read is cut, and whoever sends never waits.
func TestSilentReaderIsCut(t *testing.T) {
	s := New(metrics.Discard())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Serve(r.Context(), w) }))
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, rotunda.PayloadMax)
	payload[0] = 0xf8
	deadline := time.After(30 * time.Second)
	for i := 0; ; i++ {
		began := time.Now()
		s.Send(0, &edge.Packet{Timestamp: uint32(i * rotunda.FrameTicks), Payload: payload})
		if took := time.Since(began); took > time.Second {
			t.Fatalf("Send took %v", took)
		}
		select {
		case <-s.Done():
			return
		case <-deadline:
			t.Fatal("a player that reads nothing is served for ever")
		case <-time.After(50 * time.Microsecond):
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	s := New(metrics.Discard())
	p := &edge.Packet{Payload: make([]byte, 80)}
	for i := range 1000 {
		p.Timestamp = uint32(i)
		s.Send(0, p)
	}
	if len(s.queue) != queueLen || s.queue[0].timestamp != 1000-queueLen {
		t.Errorf("%d packets wait, the oldest %d; want the newest %d", len(s.queue), s.queue[0].timestamp, queueLen)
	}
	if n := testing.AllocsPerRun(100, func() { s.Send(0, p) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Serve(ctx, httptest.NewRecorder()) // returns
	<-s.Done()
}
