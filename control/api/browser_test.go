package api

import (
	"net/http"
	"strings"
	"testing"

	"rotunda"
	"rotunda/control/eventlog"
)

// A browser is the same guest whenever it asks: who was banned stays banned under a new name.
func TestABannedGuestAsksForAnotherIdentity(t *testing.T) {
	n := newNode(t, "n1", new(eventlog.Memory), func(c *Config) { c.Self.Addresses.HTTP = "https://n1.example.org:8443" })
	eve := n.want(201, "POST", "/v1/guests", "", `{"name":"Eve"}`)
	cookie, err := http.ParseSetCookie(eve.header.Get("Set-Cookie"))
	if err != nil {
		t.Fatal(err)
	}
	if cookie.Name != browserCookie+"_8443" || cookie.Path != "/v1/guests" || !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.MaxAge <= 0 {
		t.Errorf("cookie %+v", cookie)
	}
	if strings.Contains(eve.raw, cookie.Value) {
		t.Error("the answer's body tells the browser's secret")
	}
	user := at(eve.body, "user").(string)

	host := bearer(t, "ada", nil)
	room := n.room(host)
	n.want(200, "DELETE", room+"/participants/"+user, host, `{"ban":true,"reason":"noise"}`)

	again := n.want(201, "POST", "/v1/guests", "", `{"name":"Somebody else"}`, "Cookie", "a=b; "+cookie.Name+"="+cookie.Value)
	if got := at(again.body, "user"); got != user {
		t.Errorf("with the browser's cookie the guest is %v, and was %v", got, user)
	}
	if a := n.ask("POST", room+"/requests", at(again.body, "token").(string), "{}"); a.status != 403 || a.slug() != "banned" {
		t.Errorf("banned, and back under another name: %d %s", a.status, a.raw)
	}

	for what, sent := range map[string]string{
		"none": "", "another's name": browserCookie + "_80=" + cookie.Value, "rubbish": cookie.Name + "=zz", "too long": cookie.Name + "=" + cookie.Value + "00",
		"malformed": "\x00=;=;=", "empty": cookie.Name + "=",
	} {
		a := n.want(201, "POST", "/v1/guests", "", `{"name":"Bob"}`, "Cookie", sent)
		if at(a.body, "user") == user {
			t.Errorf("%s: the guest is Eve", what)
		}
		if err := rotunda.UserID(at(a.body, "user").(string)).Valid(); err != nil {
			t.Error(err)
		}
	}
}
