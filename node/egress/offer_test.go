package egress

import (
	"errors"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
)

func audio(lines ...string) string {
	return "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" + strings.Join(append([]string{"a=rtpmap:111 opus/48000/2", "a=rtcp-mux"}, append(lines, "")...), "\r\n")
}

const credentialsOffered = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n" +
	"a=fingerprint:sha-256 D4:30:86:F4:3B:46:E9:C5:F5:60:56:74:D4:58:BD:24:85:A1:7F:B5:06:2C:12:6A:88:07:12:E4:44:B1:DB:E9\r\n"

func TestReadOffer(t *testing.T) {
	head := offerHead + credentialsOffered
	bundle := strings.Replace(head, "t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0 1 2 3\r\n", 1)
	four := ""
	for _, mid := range []string{"0", "1", "2", "3"} {
		four += audio("a=recvonly", "a=mid:"+mid)
	}
	for _, c := range []struct {
		name, offer, why string
		tracks, frames   int
	}{
		{name: "one", offer: head + audio("a=recvonly"), tracks: 1, frames: 3},
		{name: "both ways", offer: head + audio("a=sendrecv"), tracks: 1, frames: 3},
		{name: "no direction is both ways", offer: head + audio(), tracks: 1, frames: 3},
		{name: "direction of the session", offer: head + "a=recvonly\r\n" + audio(), tracks: 1, frames: 3},
		{name: "four", offer: bundle + four, tracks: 4, frames: 3},
		{name: "with video", offer: head + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + audio("a=recvonly"), tracks: 1, frames: 3},
		{name: "40 ms at most", offer: head + audio("a=recvonly", "a=maxptime:40"), tracks: 1, frames: 2},
		{name: "10 ms at most", offer: head + audio("a=recvonly", "a=maxptime:10"), tracks: 1, frames: 1},
		{name: "120 ms at most", offer: head + audio("a=recvonly", "a=maxptime:120"), tracks: 1, frames: 3},
		{name: "bare line feeds", offer: strings.ReplaceAll(head+audio("a=recvonly"), "\r", ""), tracks: 1, frames: 3},

		{name: "empty", why: "no audio"},
		{name: "no sdp", offer: "hello", why: "sdp"},
		{name: "only video", offer: head + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", why: "no audio"},
		{name: "data channel", offer: head + audio() + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", why: `media of kind "application"`},
		{name: "the wrong way", offer: head + audio("a=sendonly"), why: "audio is sendonly, want recvonly"},
		{name: "inactive", offer: head + audio("a=inactive"), why: "audio is inactive"},
		{name: "five", offer: strings.Replace(bundle, "3\r\n", "3 4\r\n", 1) + four + audio("a=recvonly", "a=mid:4"), why: "more than 4 audio tracks"},
		{name: "not bundled", offer: head + four, why: "BUNDLE"},
		{name: "one not bundled", offer: strings.Replace(bundle, " 3\r\n", "\r\n", 1) + four, why: "BUNDLE"},
		{name: "many m-lines", offer: head + audio("a=recvonly") + strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", 8), why: "more than 8 media"},
		{name: "lite peer", offer: head + "a=ice-lite\r\n" + audio(), why: "ICE-lite"},
		{name: "peer that waits", offer: head + audio("a=setup:passive"), why: "a=setup"},
		{name: "no Opus", offer: head + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=rtcp-mux\r\na=rtpmap:0 PCMU/8000\r\n", why: "Opus"},
		{name: "two ports", offer: head + strings.Replace(audio("a=recvonly"), "a=rtcp-mux\r\n", "", 1), why: "rtcp-mux"},
		{name: "no password", offer: strings.Replace(head, "a=ice-pwd", "a=ice-x", 1) + audio(), why: "ice-pwd"},
		{name: "no fingerprint", offer: strings.Replace(head, "a=fingerprint", "a=x", 1) + audio(), why: "fingerprint"},
		{name: "weak fingerprint", offer: strings.Replace(head, "sha-256", "sha-1", 1) + audio(), why: "fingerprint"},
		{name: "short fingerprint", offer: strings.Replace(head, "D4:30:", "", 1) + audio(), why: "fingerprint"},
		{name: "too long", offer: head + audio() + strings.Repeat("a=x:y\r\n", OfferMax/7), why: "longer than 32768 bytes"},
		{name: "too many lines", offer: head + audio() + strings.Repeat("a=x\r\n", linesMax), why: "more than 1500 lines"},
		{name: "a long mid", offer: head + audio("a=mid:"+strings.Repeat("x", midMax+1)), why: "mid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := readOffer(c.offer)
			switch {
			case c.why == "" && err != nil:
				t.Fatal(err)
			case c.why != "" && (!errors.Is(err, ErrOffer) || !strings.Contains(err.Error(), c.why)):
				t.Fatalf("error %v, want ErrOffer with %q", err, c.why)
			case len(f.tracks) != c.tracks && c.why == "" || f.frames != c.frames && c.why == "":
				t.Errorf("%d tracks, %d frames to a packet, want %d, %d", len(f.tracks), f.frames, c.tracks, c.frames)
			}
		})
	}
}

// The answer to what Chromium offers, line by line but for what is random.
func TestAnswer(t *testing.T) {
	s, _ := still(t, nil, 1)
	n, answer, err := s.Play(t.Context(), s.Room(), offered())
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := s.cert.newest(n.asked)
	_, rest, ok := strings.Cut(answer, "\r\ns=-\r\n")
	if !ok {
		t.Fatal(answer)
	}
	want := "t=0 0\r\na=group:BUNDLE 0\r\na=ice-lite\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\n" +
		"a=ice-ufrag:" + n.fragment + "\r\na=ice-pwd:" + n.password + "\r\na=fingerprint:sha-256 " + cert.fingerprint + "\r\na=setup:passive\r\n" +
		"a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r\na=rtcp-fb:111 nack\r\n" +
		"a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" +
		"a=msid:room0 audio0\r\na=ssrc:SSRC cname:rotunda\r\na=ssrc:SSRC msid:room0 audio0\r\n" +
		"a=candidate:1 1 udp 2130706431 192.0.2.1 8081 typ host\r\na=end-of-candidates\r\n"
	_, ssrc, _ := strings.Cut(rest, "a=ssrc:")
	ssrc, _, _ = strings.Cut(ssrc, " ")
	if got := strings.ReplaceAll(rest, "a=ssrc:"+ssrc, "a=ssrc:SSRC"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, answer, err := s.Play(t.Context(), s.Room(), offerHead+credentialsOffered+"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:v\r\n"+audio("a=recvonly", "a=mid:a")); err != nil || !strings.Contains(answer, "m=video 0 UDP/TLS/RTP/SAVPF 96\r\n") || !strings.Contains(answer, "a=group:BUNDLE a\r\n") {
		t.Errorf("video is not rejected: %v\n%s", err, answer)
	}
}

// FuzzOffer: whatever is offered is answered or refused, and the answer parses and has no candidates but our own.
func FuzzOffer(f *testing.F) {
	f.Add(offered())
	f.Add(strings.Replace(offered(), "a=recvonly", "a=sendrecv", 1) + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\n")
	f.Add(offerHead + credentialsOffered + audio("a=mid:\r", "a=rtpmap:111 opus", "a=extmap:99999 "+audioLevelURI, "a=maxptime:-1"))
	s, _ := still(f, nil, 1)
	r := s.Room()
	f.Fuzz(func(t *testing.T, offer string) {
		n, answer, err := s.Play(t.Context(), r, offer)
		if err != nil {
			if !errors.Is(err, ErrOffer) {
				t.Fatalf("%v does not wrap ErrOffer", err)
			}
			return
		}
		n.Close()
		s.work()
		var parsed sdp.SessionDescription
		if err := parsed.UnmarshalString(answer); err != nil {
			t.Fatalf("the answer does not parse: %v\n%s", err, answer)
		}
		if strings.Count(answer, "a=candidate") != 1 || !strings.Contains(answer, "a=setup:passive") || !strings.Contains(answer, "a=ice-lite") {
			t.Fatalf("not the answer of a passive, lite agent:\n%s", answer)
		}
		if len(parsed.MediaDescriptions) > mediaMax {
			t.Fatal("more sections than may be")
		}
	})
}
