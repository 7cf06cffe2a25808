package api

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rotunda"
)

// A guest is a browser. What says so is a cookie that only POST /v1/guests gets and sets: the guest's user id is made of it,
// so that whoever was banned and asks for another identity gets the one that is banned. It opens nothing: an answer cannot
// be read by a page of another site, and what acts are tokens.
const (
	browserCookie = "rotunda_browser"
	browserLife   = 180 * 24 * time.Hour
	browserSize   = 16 // bytes of a browser's secret
)

// letters are those of ids: lower-case, and none that is easily taken for another.
var letters = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// browserName is the cookie's name. Browsers keep cookies by host and not by port (RFC 6265 §8.5), and two nodes on one
// host are two places.
func (a *API) browserName() string {
	u, err := url.Parse(a.cfg.Self.Addresses.HTTP)
	if err != nil || u.Port() == "" {
		return browserCookie
	}
	return browserCookie + "_" + u.Port()
}

// browser finds the secret of the browser that sent these cookies, or makes one.
func (a *API) browser(cookies string) (secret string, err error) {
	sent, err := http.ParseCookie(cookies)
	if err == nil {
		for _, c := range sent {
			if b, err := hex.DecodeString(c.Value); c.Name == a.browserName() && err == nil && len(b) == browserSize {
				return c.Value, nil
			}
		}
	}
	var b [browserSize]byte
	if _, err := io.ReadFull(a.cfg.Rand, b[:]); err != nil {
		return "", fmt.Errorf("randomness: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// guestOf is the user id of a browser.
func guestOf(secret string) rotunda.UserID {
	sum := sha256.Sum256([]byte("rotunda guest " + secret))
	return rotunda.UserID(guestPrefix + letters.EncodeToString(sum[:16]))
}

// rememberBrowser is the Set-Cookie header that keeps a browser's secret in it.
func (a *API) rememberBrowser(secret string) string {
	c := &http.Cookie{
		Name: a.browserName(), Value: secret, Path: "/v1/guests", MaxAge: int(browserLife.Seconds()), HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: strings.HasPrefix(a.cfg.Self.Addresses.HTTP, "https://"),
	}
	return c.String()
}
