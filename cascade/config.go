package cascade

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"time"

	"rotunda"
	"rotunda/cascade/gossip"
	"rotunda/metrics"
)

// Config is what a Mesh needs to know. Self, Certificate, Roots, Conn and Gossip are required.
type Config struct {
	// Self is this node: id, region, version, addresses. An empty Addresses.Cascade or Gossip is filled in from the
	// sockets; State, Load and Coordinate are the mesh's own.
	Self rotunda.Member
	// Certificate proves who this node is: its one URI SAN is spiffe://rotunda/node/<region>/<id>, its key Ed25519 or
	// ECDSA P-256. Roots are the certificate authorities of the mesh.
	Certificate tls.Certificate
	Roots       *x509.CertPool
	// Conn is the UDP socket of the links. The mesh owns it from New on, and closes it.
	Conn   net.PacketConn
	Gossip gossip.Config
	// Delay is the one-way delay to emulate towards a region (rotunda up --wan), applied in user space to the packets of
	// the links and of gossip. Nil: none.
	Delay func(to rotunda.Region) time.Duration
	// Sum makes one note of those that came up a stream's tree to this node, at most NoteMax octets. It is called for all
	// streams, a few times a second each while they change; the parts come from other nodes and may be anything. Nil: this
	// node hands no notes on.
	Sum func(parts [][]byte) []byte
	// Join makes one answer to a question of several, at most AnswerMax octets: those of this node and of nodes below it,
	// which may have been joined before, and may be of the same node twice. ok is false where one of the parts is no answer.
	// It may be called concurrently. Nil: this node joins none.
	Join func(question []byte, parts [][]byte) (answer []byte, ok bool)
	// Answer is this node's part of the answer to a question about a stream of the room that nobody takes here: it passes by.
	// The same is said of it as of OnAsk's. Nil: nothing.
	Answer func(room rotunda.RoomID, question []byte) []byte
	// Fence says which regions a fenced room's streams stay in; known is false for a room of which this is not known yet: then
	// nothing of it is carried. It is called with a lock held and must not block, nor call the Mesh. Nil: no fence is known.
	Fence func(room rotunda.RoomID) (f rotunda.Fence, known bool)
	// Metrics counts; nil counts nothing. Logger gets one line per change of state; nil: slog.Default.
	Metrics *metrics.Set
	Logger  *slog.Logger
}

// ErrPublished is returned by Publish for a stream that this node publishes already.
var ErrPublished = errors.New("stream is published already")

// ErrTooMany is returned by Publish and Subscribe when this node carries as many streams as it may, and by Flood when it has
// sent as many messages as it may for now.
var ErrTooMany = errors.New("too many")

// ErrTooLong is returned by Flood for a payload of no octets or more than FloodMax.
var ErrTooLong = errors.New("payload is empty or too long")
