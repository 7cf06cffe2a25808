// Package fence keeps the content of rooms inside regions. The control log lies on nodes of any region and all nodes read
// its directory, so what belongs to a fenced room is sealed before it is appended: with a random key of the room's own, which
// is sealed in turn for the key of each of its regions. Only nodes of a region have that region's private key.
//
// The public keys are in the log too, in a chain beside the rooms', each with a proof by the mesh's authority. A node adds
// its region's when it starts; so a room can be fenced to any region that ever had a node, whether one is up or not.
//
// The invariant: nothing but the room's id, its regions, and the number, size and time of what happens in it can be told
// from what a Lock has sealed without a private key of one of the regions.
//
// All functions and methods may be called concurrently.
package fence

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"rotunda"
	"rotunda/control/eventlog"
)

// Chain is the name of the chain of the regions' keys in the control log. No room has it.
const Chain rotunda.RoomID = "_regions"

// Bounds of that chain.
const (
	proofMax  = 4 << 10 // bytes of one proof
	proofsMax = 4096    // of regions, times rotations of their keys
	triesMax  = 16      // others who start at the same moment are faster
)

var (
	// ErrNoKey: this node has no key of its region, so it can neither make nor read a fenced room.
	ErrNoKey = errors.New("this node has no key of its region")
	// ErrUnknownRegion: no node of a region has ever been in the mesh with a key, so nothing can be sealed for it.
	ErrUnknownRegion = errors.New("no node of that region has been in this mesh")
)

// Outside is the error of who wants into a room from outside of its regions.
type Outside struct{ Fence rotunda.Fence }

func (o *Outside) Error() string {
	return fmt.Sprintf("the room is kept in %v", []rotunda.Region(o.Fence))
}

// Is makes all of them one for errors.Is.
func (o *Outside) Is(target error) bool {
	_, ok := target.(*Outside)
	return ok
}

// Config is what a Ring needs.
type Config struct {
	Region rotunda.Region
	// Keys are the private P-256 keys of the node's region, the newest first; older ones open older rooms. None: the node
	// has no part in fenced rooms.
	Keys []*ecdh.PrivateKey
	// Proof proves the public half of the first key. Prove reads a proof of the mesh's authority, and says whose key it is.
	Proof []byte
	Prove func(proof []byte) (rotunda.Region, *ecdh.PublicKey, error)
	Log   eventlog.Log
}

// Ring is the keys that this node has and knows.
type Ring struct {
	cfg  Config
	keys []hpke.PrivateKey

	mu     sync.Mutex // guards what follows
	at     eventlog.Position
	public map[rotunda.Region]*ecdh.PublicKey // the newest of each region
	proofs int
}

// New returns a Ring.
func New(cfg Config) (*Ring, error) {
	r := &Ring{cfg: cfg, public: map[rotunda.Region]*ecdh.PublicKey{}}
	for _, k := range cfg.Keys {
		key, err := hpke.NewDHKEMPrivateKey(k)
		if err != nil {
			return nil, fmt.Errorf("region key: %w", err)
		}
		r.keys = append(r.keys, key)
	}
	return r, nil
}

// Publish adds the node's region key to the chain, unless the newest one of the region there is the same.
func (r *Ring) Publish(ctx context.Context) error {
	if len(r.cfg.Keys) == 0 {
		return nil
	}
	id := sha256.Sum256(r.cfg.Proof)
	b := eventlog.Batch{Records: []eventlog.Record{{ID: hex.EncodeToString(id[:16]), Data: r.cfg.Proof}}, Summary: []byte("{}")}
	for range triesMax {
		if err := r.read(ctx); err != nil {
			return err
		}
		r.mu.Lock()
		known, n := r.public[r.cfg.Region], r.proofs
		b.After = r.at
		r.mu.Unlock()
		if known != nil && known.Equal(r.cfg.Keys[0].PublicKey()) {
			return nil
		}
		if n >= proofsMax {
			return fmt.Errorf("the mesh has %d keys of regions already", n)
		}
		if _, err := r.cfg.Log.Append(ctx, Chain, b); err != nil && !errors.Is(err, eventlog.ErrConflict) && !errors.Is(err, eventlog.ErrUnknown) {
			return err
		}
	}
	return errors.New("others were faster too often")
}

// read takes what the chain has now.
func (r *Ring) read(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		entries, end, err := r.cfg.Log.Read(ctx, Chain, r.at, eventlog.ReadMax)
		if err != nil {
			return err
		}
		for _, e := range entries {
			next, err := r.at.Next(Chain, e)
			if err != nil {
				return err
			}
			r.at = next
			r.proofs++
			if len(e.Data) > proofMax {
				continue
			}
			if region, key, err := r.cfg.Prove(e.Data); err == nil { // else its authority is no longer believed
				r.public[region] = key
			}
		}
		if r.at.Seq >= end.Seq {
			return nil
		}
	}
}

// Regions lists, in order, the regions that a room may be kept in: those that ever had a node with a key in the mesh. Errors are
// ErrNoKey, where this node makes no fenced rooms, and the log's.
func (r *Ring) Regions(ctx context.Context) ([]rotunda.Region, error) {
	if r == nil || len(r.keys) == 0 {
		return nil, ErrNoKey
	}
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.public)), nil
}

// Make makes the lock of a new room. Errors wrap ErrNoKey, ErrUnknownRegion or rotunda.ErrBadID, or are the log's.
func (r *Ring) Make(ctx context.Context, room rotunda.RoomID, fence rotunda.Fence) (*Lock, error) {
	if len(r.keys) == 0 {
		return nil, ErrNoKey
	}
	if err := fence.Valid(); err != nil {
		return nil, err
	}
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	header := []byte{byte(len(fence))}
	info := keyInfo(room, fence)
	kdf, aead := suite()
	for _, region := range fence {
		r.mu.Lock()
		public := r.public[region]
		r.mu.Unlock()
		if public == nil {
			return nil, fmt.Errorf("%s: %w", region, ErrUnknownRegion)
		}
		to, err := hpke.NewDHKEMPublicKey(public)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", region, err)
		}
		sealed, err := hpke.Seal(to, kdf, aead, info, key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", region, err)
		}
		header = append(append(append(header, byte(len(region))), region...), sealed...)
	}
	return newLock(room, fence, header, key)
}

// Lock returns the lock of a room from an envelope of it that has a header. The error is *Outside where this node may not
// read it, and else wraps ErrSealed.
func (r *Ring) Lock(room rotunda.RoomID, envelope []byte) (*Lock, error) {
	header, _, err := split(envelope)
	if err != nil {
		return nil, err
	}
	fence, sealed, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	info := keyInfo(room, fence)
	kdf, aead := suite()
	for i, region := range fence {
		if r == nil || region != r.cfg.Region {
			continue
		}
		for _, private := range r.keys {
			if key, err := hpke.Open(private, kdf, aead, info, sealed[i]); err == nil && len(key) == keySize {
				return newLock(room, fence, header, key)
			}
		}
	}
	return nil, &Outside{fence}
}

// Same reports whether an envelope has this lock's header.
func (l *Lock) Same(envelope []byte) bool {
	header, _, err := split(envelope)
	return err == nil && bytes.Equal(header, l.header)
}
