package api

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
)

// place is a position in a list: lists are ordered by rank, then by id.
type place struct {
	rank int64
	id   string
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.rank, o.rank), cmp.Compare(p.id, o.id))
}

// cursorIDMax is the longest id in a cursor: that of a room or user.
const cursorIDMax = 64

// cursor is the place as clients carry it: opaque to them, and not a secret.
func (p place) cursor() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.rank))
	return base64.RawURLEncoding.EncodeToString(append(b, p.id...))
}

// parseCursor reads a cursor; ok is false for none. An error wraps errCursor.
func parseCursor(s string) (p place, ok bool, err error) {
	if s == "" {
		return place{}, false, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 9 || len(b) > 8+cursorIDMax || place.cursor(place{int64(binary.BigEndian.Uint64(b)), string(b[8:])}) != s {
		return place{}, false, fmt.Errorf("cursor: %w", errCursor)
	}
	return place{int64(binary.BigEndian.Uint64(b)), string(b[8:])}, true, nil
}

// page cuts one page out of items, which are in the order of where: those after the cursor, at most limit, and the cursor
// of the next page ("" on the last).
func page[T any](items []T, where func(T) place, cursor string, limit int) (some []T, next string, err error) {
	after, ok, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	for ok && len(items) > 0 && where(items[0]).compare(after) <= 0 {
		items = items[1:]
	}
	if len(items) <= limit {
		return items, "", nil
	}
	return items[:limit], where(items[limit-1]).cursor(), nil
}

// nextLink is the Link header (RFC 8288) of the page after the cursor, with the query that the page before was asked with.
func nextLink(path string, query map[string]string, limit int, cursor string) string {
	q := url.Values{"cursor": {cursor}, "limit": {strconv.Itoa(limit)}}
	for name, v := range query {
		if v != "" {
			q.Set(name, v)
		}
	}
	return "<" + path + "?" + q.Encode() + `>; rel="next"`
}
