package rtc

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/pion/webrtc/v4"
)

// The bounds of an offer.
const (
	// OfferMax is the longest offer that is read, in bytes.
	OfferMax   = 32 << 10
	linesMax   = 1500
	mediaMax   = 8 // m-lines of any kind
	opusFormat = "minptime=10;useinbandfec=1;usedtx=1"
	// audioLevelURI is the header extension with the level of a packet (RFC 6464 §4).
	audioLevelURI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
)

// mediaEngine knows Opus and the audio level extension: whatever else a peer offers is not in the answer.
func mediaEngine() (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	if err := m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: opus, PayloadType: 111}, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	level := webrtc.RTPHeaderExtensionCapability{URI: audioLevelURI}
	if err := m.RegisterHeaderExtension(level, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	return m, nil
}

var opus = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: opusFormat}

// offerFacts is what an offer turned out to ask for.
type offerFacts struct {
	passive bool // the peer waits for our ClientHello, as ffmpeg does
}

// canonicalOffer checks an offer against what a session may be and leaves out what we do not want pion to know:
// remote candidates (nothing may be sent where nobody has proven to be), simulcast, all but the first SSRC of an m-line.
// The directions of audio become the only ones that make sense. A non-nil error wraps ErrOffer.
func canonicalOffer(offer string) (string, offerFacts, error) {
	if len(offer) > OfferMax {
		return "", offerFacts{}, fmt.Errorf("%w: longer than %d bytes", ErrOffer, OfferMax)
	}
	lines := strings.Split(strings.TrimRight(offer, "\r\n"), "\n")
	if len(lines) > linesMax {
		return "", offerFacts{}, fmt.Errorf("%w: more than %d lines", ErrOffer, linesMax)
	}
	r := offerReader{}
	r.out.Grow(len(offer))
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		if strings.ContainsRune(line, '\r') {
			return "", offerFacts{}, fmt.Errorf("%w: line %d: a carriage return inside", ErrOffer, i+1)
		}
		if err := r.line(line); err != nil {
			return "", offerFacts{}, fmt.Errorf("%w: line %d: %v", ErrOffer, i+1, err)
		}
	}
	if err := r.end(); err != nil {
		return "", offerFacts{}, fmt.Errorf("%w: %v", ErrOffer, err)
	}
	return r.out.String(), r.facts, nil
}

// offerReader goes through an offer line by line.
type offerReader struct {
	out       strings.Builder
	facts     offerFacts
	media     int    // m-lines so far
	audio     int    // of audio
	inAudio   bool   // the current section is audio
	direction string // of the current section; at first, of the session
	session   string // direction for sections that name none
	ssrc      string // the first of the current section
}

var (
	errLite      = errors.New("the server is ICE-lite and needs a peer that is not")
	errSetup     = errors.New("a=setup is none of actpass, active and passive")
	errNoAudio   = errors.New("no audio")
	errOneAudio  = errors.New("a publisher offers exactly one audio track")
	errManyMedia = fmt.Errorf("more than %d media sections", mediaMax)
)

func (r *offerReader) line(line string) error {
	if strings.HasPrefix(line, "m=") {
		return r.section(line)
	}
	attribute, ok := strings.CutPrefix(line, "a=")
	if !ok {
		r.write(line)
		return nil
	}
	name, value, _ := strings.Cut(attribute, ":")
	switch strings.TrimSpace(name) {
	case "candidate", "remote-candidates", "end-of-candidates", "rid", "simulcast", "ssrc-group", "cryptex":
		return nil
	case "ice-lite":
		return errLite
	case "setup":
		switch value {
		case "actpass", "active":
		case "passive":
			r.facts.passive = true
		default:
			return errSetup
		}
	case "sendrecv", "sendonly", "recvonly", "inactive":
		r.direction = name
		if r.media == 0 || r.inAudio {
			return nil // written by closeSection
		}
	case "ssrc":
		id, _, _ := strings.Cut(value, " ")
		if r.ssrc == "" {
			r.ssrc = id
		}
		if id != r.ssrc {
			return nil
		}
	}
	r.write(line)
	return nil
}

func (r *offerReader) section(line string) error {
	if err := r.closeSection(); err != nil {
		return err
	}
	if r.media == 0 {
		if r.session = r.direction; r.session == "" {
			r.session = "sendrecv" // RFC 8866 §6.7
		}
	}
	if r.media++; r.media > mediaMax {
		return errManyMedia
	}
	r.direction, r.ssrc = r.session, ""
	name, _, _ := strings.Cut(strings.TrimPrefix(line, "m="), " ")
	switch name {
	case "audio":
		r.inAudio = true
		if r.audio++; r.audio > 1 {
			return errOneAudio
		}
	case "video": // rejected in the answer, as publishers like OBS expect
		r.inAudio = false
	default:
		return fmt.Errorf("media of kind %.20q", name)
	}
	r.write(line)
	return nil
}

// closeSection ends an audio section with its direction.
func (r *offerReader) closeSection() error {
	if !r.inAudio {
		return nil
	}
	const want = "sendonly"
	if r.direction != want && r.direction != "sendrecv" {
		return fmt.Errorf("audio is %s, want %s", r.direction, want)
	}
	r.write("a=" + want)
	r.inAudio = false
	return nil
}

func (r *offerReader) end() error {
	if err := r.closeSection(); err != nil {
		return err
	}
	if r.audio == 0 {
		return errNoAudio
	}
	return nil
}

func (r *offerReader) write(line string) {
	r.out.WriteString(line)
	r.out.WriteString("\r\n")
}

// finishAnswer turns pion's answer into ours: the candidates are those of the
// configuration, and Opus is asked for with in-band FEC and DTX (RFC 7587 §6.1) whatever the offer said. An answer that
// does not take the track is an error that wraps ErrOffer.
func finishAnswer(answer string, addresses []netip.AddrPort) (string, error) {
	var out strings.Builder
	taken := 0
	payload := "" // payload type of Opus in this section
	for line := range strings.SplitSeq(strings.TrimRight(answer, "\r\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		switch {
		case strings.HasPrefix(line, "m="):
			payload = ""
		case strings.HasPrefix(line, "a=candidate:"), line == "a=end-of-candidates", payload != "" && strings.HasPrefix(line, "a=fmtp:"+payload+" "):
			continue
		case strings.HasPrefix(line, "a=rtpmap:"):
			pt, format, _ := strings.Cut(strings.TrimPrefix(line, "a=rtpmap:"), " ")
			if payload != "" || !strings.HasPrefix(strings.ToLower(format), "opus/48000") {
				break
			}
			payload = pt
			taken++
			fmt.Fprintf(&out, "%s\r\na=fmtp:%s %s\r\n", line, pt, opusFormat)
			if taken == 1 {
				writeCandidates(&out, addresses)
			}
			continue
		}
		out.WriteString(line)
		out.WriteString("\r\n")
	}
	if taken != 1 {
		return "", fmt.Errorf("%w: Opus at 48 kHz is not offered", ErrOffer)
	}
	return out.String(), nil
}

// writeCandidates writes host candidates in order of preference (RFC 8445 §5.1.2.1).
func writeCandidates(out *strings.Builder, addresses []netip.AddrPort) {
	for i, a := range addresses {
		priority := 126<<24 | (65535-i)<<8 | 255
		fmt.Fprintf(out, "a=candidate:%d 1 udp %d %s %d typ host\r\n", i+1, priority, a.Addr().Unmap(), a.Port())
	}
	out.WriteString("a=end-of-candidates\r\n")
}
