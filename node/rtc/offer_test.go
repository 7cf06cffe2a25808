package rtc

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/sdp/v3"
)

const head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"

// chromium is what Chromium 156 offers to publish a microphone, shortened to one spare codec.
const chromium = head +
	"a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS x\r\n" +
	"m=audio 50112 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 192.0.2.9\r\na=rtcp:9 IN IP4 0.0.0.0\r\n" +
	"a=candidate:1 1 udp 2113937151 f1.local 50112 typ host generation 0 network-cost 999\r\n" +
	"a=ice-ufrag:Xo3f\r\na=ice-pwd:0Zs3m2rhcPcJjWqGkP9mLbWk\r\na=ice-options:trickle\r\n" +
	"a=fingerprint:sha-256 D4:30:86:F4:3B:46:E9:C5:F5:60:56:74:D4:58:BD:24:85:A1:7F:B5:06:2C:12:6A:88:07:12:E4:44:B1:DB:E9\r\n" +
	"a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" +
	"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendrecv\r\na=msid:x y\r\na=rtcp-mux\r\na=rtcp-rsize\r\n" +
	"a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n" +
	"a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=ssrc:7 cname:c\r\na=ssrc:7 msid:x y\r\na=ssrc:8 cname:c\r\n"

func audio(lines ...string) string {
	return "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" + strings.Join(append(lines, ""), "\r\n")
}

func TestCanonicalOffer(t *testing.T) {
	for _, c := range []struct {
		name, offer, why string
	}{
		{name: "publish", offer: head + audio("a=sendonly")},
		{name: "publish both ways", offer: head + audio("a=sendrecv")},
		{name: "no direction is both ways", offer: head + audio()},
		{name: "direction of the session", offer: head + "a=sendonly\r\n" + audio()},
		{name: "with video, as OBS", offer: head + audio("a=sendonly") + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=sendonly\r\n"},
		{name: "passive, as ffmpeg", offer: head + audio("a=sendonly", "a=setup:passive")},
		{name: "bare line feeds", offer: strings.ReplaceAll(head+audio("a=sendonly"), "\r", "")},

		{name: "empty", why: "no audio"},
		{name: "only video", offer: head + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", why: "no audio"},
		{name: "data channel", offer: head + audio() + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", why: `media of kind "application"`},
		{name: "publish the wrong way", offer: head + audio("a=recvonly"), why: "audio is recvonly, want sendonly"},
		{name: "inactive", offer: head + audio("a=inactive"), why: "audio is inactive"},
		{name: "publish two", offer: head + audio() + audio(), why: "exactly one audio track"},
		{name: "many m-lines", offer: head + audio("a=sendonly") + strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", 8), why: "more than 8 media"},
		{name: "lite peer", offer: head + "a=ice-lite\r\n" + audio(), why: "ICE-lite"},
		{name: "peer on hold", offer: head + audio("a=setup:holdconn"), why: "a=setup"},
		{name: "too long", offer: head + audio() + strings.Repeat("a=x:y\r\n", OfferMax/7), why: "longer than 32768 bytes"},
		{name: "too many lines", offer: head + audio() + strings.Repeat("\n", linesMax) + "a=x\r\n", why: "more than 1500 lines"},
		{name: "stray carriage return", offer: head + audio("a=x\ra=candidate:1 1 udp 1 192.0.2.1 9 typ host"), why: "carriage return"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := canonicalOffer(c.offer)
			switch {
			case c.why == "" && err != nil:
				t.Fatal(err)
			case c.why != "" && (!errors.Is(err, ErrOffer) || !strings.Contains(err.Error(), c.why)):
				t.Fatalf("error %v, want ErrOffer with %q", err, c.why)
			case c.why != "":
				return
			}
			if !strings.Contains(got, "a=sendonly") || strings.Contains(got, "sendrecv") {
				t.Errorf("the direction is not sendonly:\n%s", got)
			}
			if again, _, err := canonicalOffer(got); err != nil || again != got {
				t.Errorf("not a fixed point: %v\n%s", err, cmp.Diff(got, again))
			}
		})
	}
}

func TestCanonicalOfferLeavesOut(t *testing.T) {
	got, _, err := canonicalOffer(chromium + "a=rid:h send\r\na=simulcast:send h\r\na=remote-candidates:1 192.0.2.1 9\r\na=ssrc-group:FID 7 8\r\na=end-of-candidates\r\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"candidate", "a=rid", "simulcast", "ssrc-group", "ssrc:8", "sendrecv"} {
		if strings.Contains(got, gone) {
			t.Errorf("%q is still there", gone)
		}
	}
	for _, kept := range []string{"a=ssrc:7 cname:c\r\n", "a=ssrc:7 msid:x y\r\n", "a=extmap:1 " + audioLevelURI, "a=setup:actpass", "a=mid:0", "a=sendonly"} {
		if !strings.Contains(got, kept) {
			t.Errorf("%q is missing", kept)
		}
	}
}

func TestFinishAnswer(t *testing.T) {
	answer := head + "a=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 109\r\na=rtpmap:109 opus/48000/2\r\na=fmtp:109 stereo=1\r\na=fmtp:110 x\r\n" +
		"a=candidate:1 1 udp 1 10.0.0.1 5 typ host\r\na=candidate:1 2 udp 1 10.0.0.1 5 typ host\r\na=end-of-candidates\r\n" +
		"m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=candidate:1 1 udp 1 10.0.0.1 5 typ host\r\n"
	got, err := finishAnswer(answer, []netip.AddrPort{netip.MustParseAddrPort("203.0.113.5:8081"), netip.MustParseAddrPort("[2001:db8::5]:8082")})
	if err != nil {
		t.Fatal(err)
	}
	want := head + "a=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 109\r\na=rtpmap:109 opus/48000/2\r\na=fmtp:109 minptime=10;useinbandfec=1;usedtx=1\r\n" +
		"a=candidate:1 1 udp 2130706431 203.0.113.5 8081 typ host\r\na=candidate:2 1 udp 2130706175 2001:db8::5 8082 typ host\r\na=end-of-candidates\r\na=fmtp:110 x\r\n" +
		"m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := finishAnswer(head, nil); !errors.Is(err, ErrOffer) {
		t.Errorf("a track was not taken: error %v, want ErrOffer", err)
	}
}

// FuzzOffer: whatever is offered, the real server answers or refuses, and never learns of a remote candidate.
func FuzzOffer(f *testing.F) {
	f.Add(chromium)
	f.Add(chromium + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\n")
	f.Add(head + "a=crypto:1\r\n" + audio("a=mid:", "a=rtpmap:111 opus", "a=extmap:99999 "+audioLevelURI, "a=fingerprint:x", "a=ice-ufrag:\x00"))
	s, _ := loopback(f, nil)
	f.Fuzz(func(t *testing.T, offer string) {
		if canonical, _, err := canonicalOffer(offer); err == nil {
			var parsed sdp.SessionDescription
			if parsed.UnmarshalString(canonical) == nil {
				for _, m := range parsed.MediaDescriptions {
					for _, a := range m.Attributes {
						if a.IsICECandidate() {
							t.Fatalf("a candidate came through: %q", a.Value)
						}
					}
				}
			}
		}
		session, answer, err := s.Publish(t.Context(), offer, nil)
		if err != nil {
			if !errors.Is(err, ErrOffer) {
				t.Fatalf("%v does not wrap ErrOffer", err)
			}
			return
		}
		session.Close()
		<-session.Done()
		var parsed sdp.SessionDescription
		if err := parsed.UnmarshalString(answer); err != nil {
			t.Fatalf("the answer does not parse: %v\n%s", err, answer)
		}
		if !strings.Contains(answer, "a=setup:passive") && !strings.Contains(offer, "passive") || !strings.Contains(answer, "a=ice-lite") {
			t.Fatalf("not a passive, lite answer:\n%s", answer)
		}
	})
}
