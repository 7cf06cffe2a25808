package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quic-go/quic-go"

	"rotunda/cascade/nodecert"
)

// ALPNFetch is the protocol of a fetch: a question to one node and its answer, on a connection of its own that ends with it, so
// that what is long holds up neither frames nor control messages. Who dials opens one stream, writes the question and closes
// its side; the answer is what comes until the other side is closed, nothing where the node has nothing to say.
const ALPNFetch = "rotunda-fetch/1"

const (
	// QuestionMax and FetchedMax are the longest question and the longest answer of a fetch, in octets.
	QuestionMax = 1 << 10
	FetchedMax  = 4 << 20
	// fetchesMax is how many fetches a node answers at once; it closes the connections of more.
	fetchesMax = 8
	// fetchFor bounds the answering of one.
	fetchFor = 5 * time.Second
)

// ErrFetch is wrapped by what goes wrong with a question or an answer after the handshake.
var ErrFetch = errors.New("fetch")

// Fetch asks the node want, at address, a question of 1 to QuestionMax octets and returns its answer. It returns when ctx ends
// at the latest; any other node there is an error that wraps ErrNotMember.
func (e *Endpoint) Fetch(ctx context.Context, address string, want nodecert.Identity, question []byte) ([]byte, error) {
	if len(question) < 1 || len(question) > QuestionMax {
		return nil, fmt.Errorf("%w: a question of %d octets, 1 to %d", ErrFetch, len(question), QuestionMax)
	}
	addr, err := resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	conn, err := e.transport.Dial(ctx, addr, e.fetchTLS(want), quicConfig(-1))
	if err != nil {
		return nil, fmt.Errorf("dial %s at %s: %w", want, address, err)
	}
	defer conn.CloseWithError(0, "")
	stop := context.AfterFunc(ctx, func() { conn.CloseWithError(0, "") })
	defer stop()
	answer, err := ask(conn, question)
	if err != nil {
		return nil, fmt.Errorf("%w: %s at %s: %w", ErrFetch, want, address, errors.Join(ctx.Err(), err))
	}
	return answer, nil
}

func ask(conn *quic.Conn, question []byte) ([]byte, error) {
	s, err := conn.OpenStream()
	if err != nil {
		return nil, err
	}
	if _, err := s.Write(question); err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(s, FetchedMax+1))
	if err == nil && len(answer) > FetchedMax {
		err = fmt.Errorf("more than %d octets", FetchedMax)
	}
	return answer, err
}

// answer carries a fetch that a peer has begun, until it or ctx ends.
func (e *Endpoint) answer(ctx context.Context, conn *quic.Conn) {
	ctx, cancel := context.WithTimeout(ctx, fetchFor)
	defer cancel()
	// Closing frees whoever blocks in the stream.
	stop := context.AfterFunc(ctx, func() { conn.CloseWithError(0, "") })
	defer stop()
	if err := e.answerOne(ctx, conn); err != nil {
		conn.CloseWithError(code(ErrProtocol), "")
		return
	}
	select { // who asked closes the connection when it has everything
	case <-conn.Context().Done():
	case <-ctx.Done():
	}
}

func (e *Endpoint) answerOne(ctx context.Context, conn *quic.Conn) error {
	id, err := nodecert.Named(conn.ConnectionState().TLS.PeerCertificates[0]) // verified in the handshake
	if err != nil {
		return err
	}
	s, err := conn.AcceptStream(ctx)
	if err != nil {
		return err
	}
	question, err := io.ReadAll(io.LimitReader(s, QuestionMax+1))
	if err != nil {
		return err
	}
	if len(question) < 1 || len(question) > QuestionMax {
		e.dropped(dropMalformed)
		return fmt.Errorf("%w: a question of %d octets or more", ErrFetch, len(question))
	}
	answer := e.cfg.Answer(ctx, id, question)
	if len(answer) > FetchedMax {
		answer = nil
	}
	if _, err := s.Write(answer); err != nil {
		return err
	}
	return s.Close()
}

// fetchTLS is for a fetch from the node want.
func (e *Endpoint) fetchTLS(want nodecert.Identity) *tls.Config {
	c := e.clientTLS(want)
	c.NextProtos = []string{ALPNFetch}
	return c
}
