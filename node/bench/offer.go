package bench

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	payloadType = 111
	captureTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
	captureID   = 1
)

// offerOf is the offer of a listener who takes one track of Opus.
func offerOf(ufrag, pwd, fingerprint string) string {
	return "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-options:trickle\r\n" +
		fmt.Sprintf("m=audio 9 UDP/TLS/RTP/SAVPF %d\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\n", payloadType) +
		fmt.Sprintf("a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\na=setup:actpass\r\n", ufrag, pwd, fingerprint) +
		fmt.Sprintf("a=rtpmap:%d opus/48000/2\r\na=fmtp:%d minptime=10;useinbandfec=1\r\na=extmap:%d %s\r\n", payloadType, payloadType, captureID, captureTime)
}

// answer is what a listener needs of a server's answer.
type answer struct {
	ufrag, pwd  string
	fingerprint string // of the certificate, SHA-256, upper-case hex with colons
	client      bool   // the server starts the DTLS handshake
	capture     uint8  // id of the capture time's header extension; 0: not negotiated
	candidates  []netip.AddrPort
}

// The bounds of an answer.
const (
	answerLinesMax = 500
	candidatesMax  = 8
	credentialMax  = 256 // RFC 8839 §5.4
)

var (
	errNoICE         = errors.New("the answer has no ice-ufrag and ice-pwd")
	errNoFingerprint = errors.New("the answer has no SHA-256 fingerprint")
	errNoCandidate   = errors.New("the answer names no UDP candidate")
	errRejected      = errors.New("the answer takes no audio track")
)

// parseAnswer reads an answer. Candidates come out in the order in which they are to be tried: those at host first, which
// is where the endpoint is, then by their priority (RFC 8445 §5.1.2).
func parseAnswer(sdp string, host netip.Addr) (a answer, err error) {
	type candidate struct {
		at       netip.AddrPort
		priority uint32
	}
	var found []candidate
	lines := strings.Split(sdp, "\n")
	if len(lines) > answerLinesMax {
		return a, fmt.Errorf("the answer has more than %d lines", answerLinesMax)
	}
	for _, line := range lines {
		line = strings.TrimRight(line, "\r")
		if strings.HasPrefix(line, "m=audio 0 ") {
			return a, errRejected
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "a="), ":")
		switch name {
		case "ice-ufrag":
			a.ufrag = value
		case "ice-pwd":
			a.pwd = value
		case "setup":
			a.client = value == "active"
		case "fingerprint":
			if kind, hash, ok := strings.Cut(value, " "); ok && strings.EqualFold(kind, "sha-256") {
				a.fingerprint = strings.ToUpper(strings.TrimSpace(hash))
			}
		case "extmap":
			if id, uri, ok := strings.Cut(value, " "); ok && strings.HasPrefix(uri, captureTime) {
				n, _, _ := strings.Cut(id, "/")
				if id, err := strconv.ParseUint(n, 10, 8); err == nil && id >= 1 && id <= 14 { // RFC 8285 §4.2
					a.capture = uint8(id)
				}
			}
		case "candidate":
			if at, priority, ok := parseCandidate(value); ok && len(found) < answerLinesMax {
				found = append(found, candidate{at, priority})
			}
		}
	}
	slices.SortStableFunc(found, func(x, y candidate) int {
		if near := x.at.Addr() == host; near != (y.at.Addr() == host) {
			if near {
				return -1
			}
			return 1
		}
		return cmp.Compare(y.priority, x.priority)
	})
	for _, c := range found {
		if same := c.at.Addr().Is4() == found[0].at.Addr().Is4(); same && len(a.candidates) < candidatesMax && !slices.Contains(a.candidates, c.at) {
			a.candidates = append(a.candidates, c.at)
		}
	}
	return a, a.valid()
}

func (a answer) valid() error {
	switch {
	case a.ufrag == "" || a.pwd == "" || len(a.ufrag) > credentialMax || len(a.pwd) > credentialMax:
		return errNoICE
	case a.fingerprint == "":
		return errNoFingerprint
	case len(a.candidates) == 0:
		return errNoCandidate
	}
	return nil
}

// parseCandidate reads a candidate of the first component over UDP (RFC 8839 §5.1).
func parseCandidate(value string) (at netip.AddrPort, priority uint32, ok bool) {
	f := strings.Fields(value)
	if len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
		return at, 0, false
	}
	p, err1 := strconv.ParseUint(f[3], 10, 32)
	ip, err2 := netip.ParseAddr(f[4]) // an mDNS name is of no use to a stranger
	port, err3 := strconv.ParseUint(f[5], 10, 16)
	if errors.Join(err1, err2, err3) != nil || port == 0 || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return at, 0, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), uint32(p), true
}
