package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// depthMax is how deep the JSON of a payload may nest: an operator's own claims are not deeper.
const depthMax = 4

// guard refuses, before any signature is looked at, every token that two readers could understand differently: characters
// that base64 decoders skip, a header with parameters that we do not know, JSON objects that name a member twice. Its cost
// is bounded by SizeMax.
func guard(raw string) error {
	if len(raw) > SizeMax {
		return fmt.Errorf("longer than %d bytes", SizeMax)
	}
	for i := range len(raw) {
		if !isTokenByte(raw[i]) { // a newline is skipped by encoding/base64, even by its strict decoder
			return fmt.Errorf("byte %#02x at %d", raw[i], i)
		}
	}
	part := strings.SplitN(raw, ".", 4)
	if len(part) != 3 {
		return errors.New("not three parts")
	}
	header, err := object(part[0], 1)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	// alg is compared here as well as by the library: no other method's code is ever reached.
	if len(header) != 3 || header["alg"] != "EdDSA" || header["typ"] != "JWT" || header["kid"] == "" {
		return errors.New(`header: not alg "EdDSA", typ "JWT" and kid alone`)
	}
	if _, err := object(part[1], depthMax); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	return nil
}

func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

// object decodes one part of a token as a JSON object without repeated names, at most depth deep, with nothing after it.
// It returns the members that are strings.
func object(part string, depth int) (map[string]string, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	texts, err := members(d, depth)
	if err != nil {
		return nil, err
	}
	if d.InputOffset() != int64(len(b)) {
		return nil, errors.New("bytes after the object")
	}
	return texts, nil
}

// members reads an object whose brace is read.
func members(d *json.Decoder, depth int) (map[string]string, error) {
	seen, texts := map[string]bool{}, map[string]string{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, errors.New("not JSON")
		}
		name, ok := t.(string)
		if !ok || seen[name] {
			return nil, fmt.Errorf("member %.40q twice", name)
		}
		seen[name] = true
		text, isText, err := value(d, depth)
		if err != nil {
			return nil, err
		}
		if isText {
			texts[name] = text
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("not JSON")
	}
	return texts, nil
}

// value reads one value of any kind.
func value(d *json.Decoder, depth int) (text string, isText bool, err error) {
	t, err := d.Token()
	if err != nil {
		return "", false, errors.New("not JSON")
	}
	switch t := t.(type) {
	case string:
		return t, true, nil
	case json.Delim:
		if depth <= 1 {
			return "", false, errors.New("nested too deep")
		}
		if t == '{' {
			_, err = members(d, depth-1)
			return "", false, err
		}
		for d.More() {
			if _, _, err := value(d, depth-1); err != nil {
				return "", false, err
			}
		}
		if _, err := d.Token(); err != nil {
			return "", false, errors.New("not JSON")
		}
	}
	return "", false, nil
}
