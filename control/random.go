package control

import (
	"fmt"
	"io"
	"sync"
)

// alphabet has 32 letters that nobody mixes up when reading them aloud: no i, l, o, u (Crockford's base 32 in lower case).
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// randomness draws letters from a source that need not be safe for concurrent use.
type randomness struct {
	mu     sync.Mutex // guards source
	source io.Reader
}

// letters returns n letters of 5 bits each.
func (r *randomness) letters(n int) (string, error) {
	b := make([]byte, n)
	r.mu.Lock()
	_, err := io.ReadFull(r.source, b)
	r.mu.Unlock()
	if err != nil {
		return "", fmt.Errorf("randomness: %w", err)
	}
	return letters(b, n), nil
}

// letters makes n letters of as many bytes.
func letters(b []byte, n int) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[b[i]&31]
	}
	return string(out)
}
