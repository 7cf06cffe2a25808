package whip

import (
	"errors"
	"fmt"
	"strings"
)

// The bounds of a trickled fragment.
const (
	fragmentLinesMax = 128
	candidatesMax    = 64
)

var errNoCredentials = errors.New("no a=ice-ufrag and a=ice-pwd")

// parseFragment checks an SDP fragment of RFC 8840 §9, as clients trickle it: session attributes, m-lines with their mid,
// candidates. Their values are of no use to an ICE-lite server and are not looked into.
func parseFragment(fragment string) error {
	lines := strings.Split(strings.TrimRight(fragment, "\r\n"), "\n")
	if len(lines) > fragmentLinesMax {
		return fmt.Errorf("more than %d lines", fragmentLinesMax)
	}
	var ufrag, pwd bool
	candidates := 0
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return fmt.Errorf("line %d: a control character", i+1)
		}
		switch {
		case strings.HasPrefix(line, "m="):
		case strings.HasPrefix(line, "a="):
			name, value, _ := strings.Cut(line[2:], ":")
			switch name {
			case "ice-ufrag":
				ufrag = value != ""
			case "ice-pwd":
				pwd = value != ""
			case "candidate":
				if candidates++; candidates > candidatesMax {
					return fmt.Errorf("more than %d candidates", candidatesMax)
				}
			case "":
				return fmt.Errorf("line %d: an attribute without a name", i+1)
			}
		default: // s=, c= and the like do not belong here
			return fmt.Errorf("line %d: neither a=… nor m=…", i+1)
		}
	}
	if !ufrag || !pwd {
		return errNoCredentials
	}
	return nil
}
