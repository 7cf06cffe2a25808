package whip

import (
	"crypto/hmac"
	"crypto/sha1" // what the relays ask for
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"rotunda"
)

// relayLife is how long a person's password at a relay is good. A relay asks for it again and again while a session lasts.
const relayLife = 12 * time.Hour

// Relays are TURN servers that clients are told of, for networks that let nothing out to the node.
type Relays struct {
	URLs []string // RFC 7065
	// Secret is what the relays share with the node: names are expiry:user and passwords the HMAC-SHA1 of them, as TURN servers with a REST API
	// for credentials have it (draft-uberti-behave-turn-rest-00; coturn's use-auth-secret).
	Secret []byte
	// Username and Password are the same for everybody, where there is no secret.
	Username, Password string
}

// Links are the Link headers that tell a user of the relays (RFC 9725 §4.6).
func (r Relays) Links(user rotunda.UserID, now time.Time) []string {
	name, password := r.Username, r.Password
	if len(r.Secret) > 0 {
		name = fmt.Sprintf("%d:%s", now.Add(relayLife).Unix(), user)
		mac := hmac.New(sha1.New, r.Secret)
		mac.Write([]byte(name))
		password = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	out := make([]string, len(r.URLs))
	for i, u := range r.URLs {
		out[i] = fmt.Sprintf(`<%s>; rel="ice-server"; username=%s; credential=%s; credential-type="password"`, u, quoted(name), quoted(password))
	}
	return out
}

// quoted is s as a quoted string of a header (RFC 9110 §5.6.4).
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
