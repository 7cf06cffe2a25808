package egress

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"rotunda"
	"rotunda/node/edge"
)

// The bounds of an offer.
const (
	// OfferMax is the longest offer that is read, in bytes.
	OfferMax   = 32 << 10
	linesMax   = 1500
	mediaMax   = 8             // m-lines of any kind
	tracksMax  = edge.SlotsMax // audio m-lines
	midMax     = 32            // bytes of a=mid
	opusFormat = "minptime=10;useinbandfec=1;usedtx=1"
	// opusUsual is the payload type that nearly all clients have for Opus.
	opusUsual = 111
	// audioLevelURI is the header extension with the level of a packet (RFC 6464 §4).
	audioLevelURI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
)

// payloadTypes is what an offer calls things on one track; 0: it has not offered them.
type payloadTypes struct {
	opus, red uint8
	level     uint8 // the id of the header extension
}

// offerFacts is what an offer turned out to ask for.
type offerFacts struct {
	sections    []section
	tracks      []payloadTypes // of the audio sections, in order
	fingerprint fingerprint
	frames      int // that may share a packet
}

// section is one m-line.
type section struct {
	media, protocol, mid string
	formats              []string
	audio                bool
}

// fingerprint is that of the certificate that a peer will show (RFC 8122 §5).
type fingerprint struct {
	hash string
	sum  string // in bytes
}

// of reports whether it is a certificate's.
func (f fingerprint) of(der []byte) bool {
	var sum []byte
	switch f.hash {
	case "sha-256":
		s := sha256.Sum256(der)
		sum = s[:]
	case "sha-384":
		s := sha512.Sum384(der)
		sum = s[:]
	case "sha-512":
		s := sha512.Sum512(der)
		sum = s[:]
	}
	return len(sum) > 0 && bytes.Equal(sum, []byte(f.sum))
}

func readFingerprint(value string) (fingerprint, bool) {
	hash, text, ok := strings.Cut(value, " ")
	hash = strings.ToLower(hash)
	sizes := map[string]int{"sha-256": sha256.Size, "sha-384": sha512.Size384, "sha-512": sha512.Size}
	sum, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(text), ":", ""))
	return fingerprint{hash, string(sum)}, ok && err == nil && len(sum) > 0 && len(sum) == sizes[hash]
}

var (
	errLite        = errors.New("the server is ICE-lite and needs a peer that is not")
	errSetup       = errors.New("a=setup: the offer has to be actpass or active, the server waits for its ClientHello")
	errNoAudio     = errors.New("no audio")
	errManyAudio   = fmt.Errorf("more than %d audio tracks", tracksMax)
	errManyMedia   = fmt.Errorf("more than %d media sections", mediaMax)
	errNoOpus      = errors.New("Opus at 48 kHz is not offered on every audio track")
	errNoMux       = errors.New("RTP and RTCP on one port (a=rtcp-mux) is not offered")
	errNoBundle    = errors.New("several tracks need a=group:BUNDLE, and a mid each")
	errFingerprint = errors.New("the certificate is not the one that the offer named")
	errNoPrint     = errors.New("no a=fingerprint of sha-256, sha-384 or sha-512")
	errNoICE       = errors.New("no a=ice-ufrag and a=ice-pwd")
)

// readOffer reads what somebody offers who takes audio. A non-nil error wraps ErrOffer. Candidates are not looked at: nothing is
// sent where nobody has proved to be.
func readOffer(offer string) (f offerFacts, err error) {
	defer func() {
		if p := recover(); p != nil { // the parser's, on an offer that nobody has thought of
			err = fmt.Errorf("%w: unreadable", ErrOffer)
		} else if err != nil {
			err = fmt.Errorf("%w: %w", ErrOffer, err)
		}
	}()
	if len(offer) > OfferMax {
		return f, fmt.Errorf("longer than %d bytes", OfferMax)
	}
	if strings.Count(offer, "\n") > linesMax {
		return f, fmt.Errorf("more than %d lines", linesMax)
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(offer); err != nil {
		return f, err
	}
	if _, lite := d.Attribute("ice-lite"); lite {
		return f, errLite
	}
	if len(d.MediaDescriptions) > mediaMax {
		return f, errManyMedia
	}
	f.frames = edge.MergeMax
	for _, m := range d.MediaDescriptions {
		if err := f.read(&d, m); err != nil {
			return f, err
		}
	}
	switch {
	case len(f.tracks) == 0:
		return f, errNoAudio
	case len(f.tracks) > tracksMax:
		return f, errManyAudio
	case f.fingerprint.hash == "":
		return f, errNoPrint
	}
	return f, f.bundled(&d)
}

// either returns an attribute of a section, or else of the session.
func either(d *sdp.SessionDescription, m *sdp.MediaDescription, name string) (value string, ok bool) {
	if value, ok = m.Attribute(name); !ok {
		value, ok = d.Attribute(name)
	}
	return value, ok
}

func (f *offerFacts) read(d *sdp.SessionDescription, m *sdp.MediaDescription) error {
	mid, _ := m.Attribute("mid")
	if len(mid) > midMax || len(m.MediaName.Formats) == 0 {
		return errors.New("a media section with a mid that is too long, or without formats")
	}
	s := section{media: m.MediaName.Media, protocol: strings.Join(m.MediaName.Protos, "/"), mid: mid, formats: m.MediaName.Formats}
	switch s.media {
	case "video": // rejected in the answer
		f.sections = append(f.sections, s)
		return nil
	case "audio":
	default:
		return fmt.Errorf("media of kind %.20q", s.media)
	}
	s.audio = true
	f.sections = append(f.sections, s)
	if err := direction(d, m); err != nil {
		return err
	}
	if setup, ok := either(d, m, "setup"); ok && setup != "actpass" && setup != "active" {
		return errSetup
	}
	if _, ok := m.Attribute("rtcp-mux"); !ok {
		return errNoMux
	}
	ufrag, _ := either(d, m, "ice-ufrag")
	pwd, _ := either(d, m, "ice-pwd")
	if ufrag == "" || pwd == "" {
		return errNoICE
	}
	if value, ok := either(d, m, "fingerprint"); ok && f.fingerprint.hash == "" {
		if f.fingerprint, ok = readFingerprint(value); !ok {
			return errNoPrint
		}
	}
	if longest, ok := m.Attribute("maxptime"); ok {
		ms, err := strconv.Atoi(strings.TrimSpace(longest))
		if err == nil {
			f.frames = max(1, min(f.frames, ms/int(rotunda.FrameDuration.Milliseconds())))
		}
	}
	types, ok := typesOf(m)
	if !ok {
		return errNoOpus
	}
	f.tracks = append(f.tracks, types)
	return nil
}

// direction checks that the section takes audio.
func direction(d *sdp.SessionDescription, m *sdp.MediaDescription) error {
	for _, attributes := range [][]sdp.Attribute{m.Attributes, d.Attributes} {
		for _, a := range attributes {
			switch a.Key {
			case "recvonly", "sendrecv":
				return nil
			case "sendonly", "inactive":
				return fmt.Errorf("audio is %s, want recvonly", a.Key)
			}
		}
	}
	return nil // sendrecv, RFC 8866 §6.7
}

// typesOf finds Opus, redundant Opus and the level among what a section offers.
func typesOf(m *sdp.MediaDescription) (t payloadTypes, ok bool) {
	named := map[string]string{} // formats of rtpmap, by payload type
	parameters := map[string]string{}
	for _, a := range m.Attributes {
		number, value, _ := strings.Cut(a.Value, " ")
		switch a.Key {
		case "rtpmap":
			named[number] = strings.ToLower(strings.TrimSpace(value))
		case "fmtp":
			parameters[number] = strings.TrimSpace(value)
		case "extmap":
			id, _, _ := strings.Cut(number, "/")
			uri, _, _ := strings.Cut(value, " ")
			if n, err := strconv.Atoi(id); err == nil && n >= 1 && n <= 14 && uri == audioLevelURI {
				t.level = uint8(n)
			}
		}
	}
	find := func(format string) (uint8, string) {
		for _, number := range m.MediaName.Formats {
			if n, err := strconv.Atoi(number); err == nil && n > 0 && n < 128 && named[number] == format {
				return uint8(n), number
			}
		}
		return 0, ""
	}
	opus, number := find("opus/48000/2")
	if opus == 0 {
		return t, false
	}
	t.opus = opus
	if red, name := find("red/48000/2"); red != 0 && strings.HasPrefix(parameters[name], number+"/"+number) {
		t.red = red
	}
	return t, true
}

// bundled checks that all audio is to go over one transport.
func (f *offerFacts) bundled(d *sdp.SessionDescription) error {
	if len(f.tracks) == 1 {
		return nil
	}
	group, _ := d.Attribute("group")
	mids := strings.Fields(group)
	if len(mids) == 0 || mids[0] != "BUNDLE" {
		return errNoBundle
	}
	for _, s := range f.sections {
		if s.audio && (s.mid == "" || !slices.Contains(mids[1:], s.mid)) {
			return errNoBundle
		}
	}
	return nil
}

// answer is the answer for a session: its candidates are exactly the server's addresses, whatever the socket is bound to.
func (f *offerFacts) answer(n *Session, certificate string) (string, error) {
	d := sdp.SessionDescription{
		Origin:           sdp.Origin{Username: "-", SessionID: rand.Uint64() >> 2, SessionVersion: 2, NetworkType: "IN", AddressType: "IP4", UnicastAddress: "0.0.0.0"},
		SessionName:      "-",
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	mids := "BUNDLE"
	track := 0
	for _, s := range f.sections {
		m := &sdp.MediaDescription{
			MediaName:             sdp.MediaName{Media: s.media, Port: sdp.RangedPort{Value: 9}, Protos: strings.Split(s.protocol, "/")},
			ConnectionInformation: &sdp.ConnectionInformation{NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"}},
		}
		if s.mid != "" {
			m.WithValueAttribute("mid", s.mid)
		}
		if s.audio {
			if s.mid != "" {
				mids += " " + s.mid
			}
			n.describe(m, track, certificate)
			track++
		} else { // RFC 3264 §6
			m.MediaName.Port.Value = 0
			m.MediaName.Formats = s.formats[:1]
			m.WithPropertyAttribute("inactive")
		}
		d.MediaDescriptions = append(d.MediaDescriptions, m)
	}
	if mids != "BUNDLE" {
		d.WithValueAttribute("group", mids)
	}
	d.WithPropertyAttribute("ice-lite")
	b, err := d.Marshal()
	return string(b), err
}

// describe writes the section of a track.
func (n *Session) describe(m *sdp.MediaDescription, index int, certificate string) {
	t := &n.tracks[index]
	number := strconv.Itoa(int(t.payload.opus))
	m.MediaName.Formats = []string{number}
	m.WithPropertyAttribute("sendonly").WithPropertyAttribute("rtcp-mux").WithPropertyAttribute("rtcp-rsize")
	m.WithValueAttribute("ice-ufrag", n.fragment).WithValueAttribute("ice-pwd", n.password)
	m.WithValueAttribute("fingerprint", "sha-256 "+certificate).WithValueAttribute("setup", "passive")
	m.WithValueAttribute("rtpmap", number+" opus/48000/2").WithValueAttribute("fmtp", number+" "+opusFormat)
	// Nobody offers it for audio; Chromium and others make use of it all the same.
	m.WithValueAttribute("rtcp-fb", number+" nack")
	if t.payload.red != 0 {
		red := strconv.Itoa(int(t.payload.red))
		m.MediaName.Formats = append(m.MediaName.Formats, red)
		m.WithValueAttribute("rtpmap", red+" red/48000/2").WithValueAttribute("fmtp", red+" "+number+"/"+number)
	}
	if t.payload.level != 0 {
		m.WithValueAttribute("extmap", strconv.Itoa(int(t.payload.level))+" "+audioLevelURI)
	}
	// One stream each: tracks of one stream are lip-synced, which would hold all back to the slowest speaker.
	stream := fmt.Sprintf("room%d audio%d", index, index)
	ssrc := strconv.FormatUint(uint64(t.ssrc), 10)
	m.WithValueAttribute("msid", stream)
	m.WithValueAttribute("ssrc", ssrc+" cname:"+cname).WithValueAttribute("ssrc", ssrc+" msid:"+stream)
	if index > 0 { // the one that the others are bundled with has the addresses
		return
	}
	for _, c := range n.server.candidates() {
		m.WithValueAttribute("candidate", c)
	}
	m.WithPropertyAttribute("end-of-candidates")
}

// candidates are the host candidates, in the order of preference (RFC 8445 §5.1.2.1); those of TCP wait for connections (RFC 6544
// §4.2, with the direction preference 4 of passive ones).
func (s *Server) candidates() (list []string) {
	for i, a := range s.addresses {
		priority := 126<<24 | (65535-i)<<8 | 255
		list = append(list, fmt.Sprintf("%d 1 udp %d %s %d typ host", i+1, priority, a.Addr().Unmap(), a.Port()))
	}
	if s.streams.listener == nil {
		return list
	}
	for i, a := range s.addresses {
		priority := 126<<24 | (4<<13|8191-i)<<8 | 255
		list = append(list, fmt.Sprintf("%d 1 tcp %d %s %d typ host tcptype passive", len(s.addresses)+i+1, priority, a.Addr().Unmap(), a.Port()))
	}
	return list
}

// describeICE is the fragment that tells a client the session's credentials (RFC 8840 §9). The caller holds Server.mu.
func (n *Session) describeICE() string {
	var b strings.Builder
	fmt.Fprintf(&b, "a=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF %d\r\n", n.tracks[0].payload.opus)
	if n.mid != "" {
		fmt.Fprintf(&b, "a=mid:%s\r\n", n.mid)
	}
	fmt.Fprintf(&b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\n", n.fragment, n.password)
	for _, c := range n.server.candidates() {
		fmt.Fprintf(&b, "a=candidate:%s\r\n", c)
	}
	b.WriteString("a=end-of-candidates\r\n")
	return b.String()
}

// mid is that of the first audio section.
func (f *offerFacts) mid() string {
	for _, s := range f.sections {
		if s.audio {
			return s.mid
		}
	}
	return ""
}
