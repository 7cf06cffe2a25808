package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"rotunda/control/token"
)

// GossipKeySize is the length of a gossip key in bytes: AES-256.
const GossipKeySize = 32

// gossipKeysMax bounds the keys in one file: the one in use, the next and the last, with room.
const gossipKeysMax = 8

// CreateSigningKey makes an Ed25519 key that signs tokens: the private half in privateFile (PKCS #8), the public half in
// publicFile (PKIX). It returns the key's id (token.KeyID).
func CreateSigningKey(privateFile, publicFile string) (keyID string, err error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	secret, err := privatePEM(private)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	return token.KeyID(public), create(
		file{privateFile, secret, privateMode},
		file{publicFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), publicMode},
	)
}

// LoadSigningKey reads the private half of a signing key and its id.
func LoadSigningKey(path string) (keyID string, key ed25519.PrivateKey, err error) {
	der, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return "", nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return "", nil, fmt.Errorf("%s: not an Ed25519 private key in PKCS #8", path)
	}
	return token.KeyID(key.Public().(ed25519.PublicKey)), key, nil
}

// LoadVerifyKey reads the public half of a signing key and its id.
func LoadVerifyKey(path string) (keyID string, key ed25519.PublicKey, err error) {
	der, err := readPEM(path, "PUBLIC KEY")
	if err != nil {
		return "", nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	key, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return "", nil, fmt.Errorf("%s: not an Ed25519 public key in PKIX", path)
	}
	return token.KeyID(key), key, nil
}

// CreateGossipKey makes a file of one gossip key and returns the key's fingerprint.
func CreateGossipKey(path string) (fingerprint string, err error) {
	key := make([]byte, GossipKeySize)
	if _, err := rand.Read(key); err != nil {
		return "", err
	}
	return gossipFingerprint(key), create(file{path, []byte(base64.StdEncoding.EncodeToString(key) + "\n"), privateMode})
}

// LoadGossipKeys reads the gossip keys in a file, a base64 line each; the first one is to encrypt with. Lines that are
// empty or start with '#' count for nothing.
func LoadGossipKeys(path string) ([][]byte, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	n := 0
	for line := range strings.Lines(string(bytes.TrimPrefix(data, []byte("\ufeff")))) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != GossipKeySize { // never shown: it may be most of a key
			return nil, fmt.Errorf("%s:%d: not %d bytes in base64", path, n, GossipKeySize)
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return nil, errors.New(path + ": no key in it")
	case len(keys) > gossipKeysMax:
		return nil, fmt.Errorf("%s: %d keys, more than %d", path, len(keys), gossipKeysMax)
	}
	return keys, nil
}

// gossipFingerprint names a gossip key. A domain of its own keeps it from being anything an attacker could use.
func gossipFingerprint(key []byte) string {
	sum := sha256.Sum256(append([]byte("rotunda gossip key fingerprint\x00"), key...))
	return "SHA256:" + base64.RawURLEncoding.EncodeToString(sum[:8])
}
