package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// bodyMax is the longest body of a request, in bytes.
	bodyMax = 64 << 10
	// jsonDepthMax is how deep a body may nest; ours nest three deep.
	jsonDepthMax = 16
)

// decodeStrict is json.Unmarshal for bodies from strangers: it refuses what two readers could understand differently. That
// is text that is not UTF-8, members that are named twice (also in another case, because encoding/json does not tell cases
// apart), and nesting past jsonDepthMax. Unknown members are refused by the schema of each call.
func decodeStrict(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := scan(d, jsonDepthMax); err != nil {
		return err
	}
	return json.Unmarshal(data, v) // also refuses what follows the value
}

// scan reads one value.
func scan(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return errors.New("not JSON")
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	if depth == 0 {
		return fmt.Errorf("nested deeper than %d", jsonDepthMax)
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				return errors.New("not JSON")
			}
			folded := strings.ToLower(name.(string)) // an object's names are strings, or Token fails
			if seen[folded] {
				return fmt.Errorf("member %.40q twice", name)
			}
			seen[folded] = true
		}
		if err := scan(d, depth-1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("not JSON")
	}
	return nil
}
