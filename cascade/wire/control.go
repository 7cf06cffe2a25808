package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"rotunda"
)

// FloodMax is the longest payload of a flood, in octets: a decision about everybody on a full stage (100 names of 64
// characters) with the certificates of who signed it.
const FloodMax = 12 << 10

// NoteMax is the longest payload of an up or a down, in octets.
const NoteMax = 1024

// AskMax and AnswerMax are the longest question about a stream and the longest answer, in octets: an answer is a page of 60
// people with the longest ids and names.
const (
	AskMax    = 2 << 10
	AnswerMax = 12<<10 - 64
)

// MessageMax is the longest control message, type and body, in octets. A subscribe with the longest names and path needs
// 1 + 4 + 4 + 65 + 69 + 1 + 8·64 = 656, a flood more.
const MessageMax = 3 + FloodMax

// LengthSize is how many octets stand before a message to give its length.
const LengthSize = 2

// Revision is what this package speaks; hello carries it. ALPN changes when an older node could not follow.
const Revision uint8 = 4

// RevisionMin is the oldest revision that a peer may speak. Messages with a higher Since are not for it.
const RevisionMin uint8 = 1

// Message is one control message: Hello, Subscribe, Unsubscribe, Gone, Flood, Up, Down, Ask, Answer, Resume, or an
// Unknown one.
type Message interface {
	// Since is the first revision of a peer that takes the message.
	Since() uint8

	append(b []byte) []byte
}

// Hello opens the control stream in both directions.
type Hello struct{ Revision uint8 }

// Subscribe asks for a stream: its frames shall come under Alias. Path is the nodes after the receiver, the origin last;
// empty when the receiver is the origin.
type Subscribe struct {
	Alias  Alias
	Stream rotunda.StreamID
	Path   []rotunda.NodeID
}

// Unsubscribe ends what Subscribe began. Frames under the alias may still be under way.
type Unsubscribe struct{ Alias Alias }

// Gone says that the stream of a subscription does not come (any more). It ends the subscription.
type Gone struct {
	Alias  Alias
	Reason Reason
	Node   rotunda.NodeID // where the path broke
}

// Flood is for every node of the mesh. Payload is not empty.
type Flood struct {
	Kind    uint8 // what the payload is
	Hops    uint8 // links crossed before this one, at most rotunda.HopsMax
	Payload []byte
}

// Up says something to the origin of a stream that this link's sender takes under Alias. An empty payload takes back what
// was said before.
type Up struct {
	Alias   Alias
	Payload []byte
}

// Down says something to who takes a stream under Alias.
type Down struct {
	Alias   Alias
	Payload []byte
}

// Ask is a question about a stream, to who has more to say: towards its origin, or from there to all who take it.
type Ask struct {
	Down    bool   // from the origin: Alias is the receiver's; else it is the sender's
	Alias   Alias  // of the stream
	ID      uint32 // the sender's, for the answer
	Round   uint32 // the origin's, the same for all whom it asks; 0 on the way up
	Wait    uint16 // for how long the sender waits for an answer, in milliseconds
	Payload []byte // not empty
}

// Answer answers an Ask of that ID, the other way. An empty payload is nothing to say.
type Answer struct {
	Down     bool // answers an Ask that went up
	Alias    Alias
	ID       uint32
	Complete bool // everybody has been heard whom the question was for
	Payload  []byte
}

// Resume asks for frames of the subscription under Alias once more: those from number From on that the receiver still has,
// or the newest. It counts once for a subscription.
type Resume struct {
	Alias Alias
	From  rotunda.Seq
}

// Unknown is a message of a type that only a newer revision knows.
type Unknown struct {
	Type uint8 // above those of this revision
	Body []byte
}

// Reason is why a stream does not come.
type Reason uint8

// The reasons.
const (
	Unreachable Reason = 1 // the next hop of the path cannot be reached
	Refused     Reason = 2 // the node carries all it can
	Looped      Reason = 3 // the path comes back to where it has been
	reasonMax          = Looped
)

func (r Reason) String() string {
	switch r {
	case Unreachable:
		return "unreachable"
	case Refused:
		return "refused"
	case Looped:
		return "looped"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

const (
	typeHello       = 1
	typeSubscribe   = 2
	typeUnsubscribe = 3
	typeGone        = 4
	typeFlood       = 5
	typeUp          = 6
	typeDown        = 7
	typeAsk         = 8
	typeAnswer      = 9
	typeResume      = 10
	typeMax         = typeResume
)

// AppendMessage appends m with its length to b. Names in it must be valid, the path at most rotunda.HopsMax long, payloads
// within their bounds.
func AppendMessage(b []byte, m Message) []byte {
	start := len(b)
	b = m.append(append(b, 0, 0))
	n := len(b) - start - LengthSize
	if n > MessageMax {
		panic("wire: message above MessageMax")
	}
	binary.BigEndian.PutUint16(b[start:], uint16(n))
	return b
}

// MessageLength reads the length that stands before a message, from LengthSize octets.
func MessageLength(b []byte) (int, error) {
	if len(b) < LengthSize {
		return 0, errShort
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < 1 || n > MessageMax {
		return 0, errLength
	}
	return n, nil
}

// ParseMessage parses b, the octets that a length announced. The result does not alias b.
func ParseMessage(b []byte) (Message, error) {
	if len(b) == 0 || len(b) > MessageMax {
		return nil, errLength
	}
	p := parser{b: b[1:]}
	var m Message
	switch b[0] {
	case typeHello:
		m = Hello{Revision: p.octet()}
	case typeSubscribe:
		m = p.subscribe()
	case typeUnsubscribe:
		m = Unsubscribe{Alias: p.alias()}
	case typeGone:
		m = p.gone()
	case typeFlood:
		m = p.flood()
	case typeUp:
		m = Up{Alias: p.alias(), Payload: p.rest(0, NoteMax)}
	case typeDown:
		m = Down{Alias: p.alias(), Payload: p.rest(0, NoteMax)}
	case typeAsk:
		m = Ask{Down: p.flag(), Alias: p.alias(), ID: p.uint32(), Round: p.uint32(), Wait: p.uint16(), Payload: p.rest(1, AskMax)}
	case typeAnswer:
		m = Answer{Down: p.flag(), Alias: p.alias(), ID: p.uint32(), Complete: p.flag(), Payload: p.rest(0, AnswerMax)}
	case typeResume:
		m = p.resume()
	case 0:
		return nil, errType
	default:
		m = Unknown{Type: b[0], Body: p.rest(0, MessageMax)}
	}
	if p.err == nil && len(p.b) != 0 {
		p.err = errTrailing
	}
	if p.err != nil {
		return nil, p.err
	}
	return m, nil
}

func (m Hello) append(b []byte) []byte { return append(b, typeHello, m.Revision) }

func (m Subscribe) append(b []byte) []byte {
	b = appendVarint(append(b, typeSubscribe), uint64(m.Alias))
	b = binary.BigEndian.AppendUint32(b, uint32(m.Stream.Epoch))
	b = appendName(b, string(m.Stream.Room))
	b = appendName(b, string(m.Stream.Track))
	b = append(b, byte(len(m.Path)))
	for _, n := range m.Path {
		b = appendName(b, string(n))
	}
	return b
}

func (m Unsubscribe) append(b []byte) []byte {
	return appendVarint(append(b, typeUnsubscribe), uint64(m.Alias))
}

func (m Gone) append(b []byte) []byte {
	b = appendVarint(append(b, typeGone), uint64(m.Alias))
	return appendName(append(b, byte(m.Reason)), string(m.Node))
}

func (m Flood) append(b []byte) []byte {
	return append(append(b, typeFlood, m.Kind, m.Hops), m.Payload...)
}

func (m Up) append(b []byte) []byte {
	return append(appendVarint(append(b, typeUp), uint64(m.Alias)), m.Payload...)
}

func (m Down) append(b []byte) []byte {
	return append(appendVarint(append(b, typeDown), uint64(m.Alias)), m.Payload...)
}

func (m Ask) append(b []byte) []byte {
	b = appendVarint(appendFlag(append(b, typeAsk), m.Down), uint64(m.Alias))
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, m.ID), m.Round)
	return append(binary.BigEndian.AppendUint16(b, m.Wait), m.Payload...)
}

func (m Answer) append(b []byte) []byte {
	b = appendVarint(appendFlag(append(b, typeAnswer), m.Down), uint64(m.Alias))
	return append(appendFlag(binary.BigEndian.AppendUint32(b, m.ID), m.Complete), m.Payload...)
}

func (m Resume) append(b []byte) []byte {
	return appendVarint(appendVarint(append(b, typeResume), uint64(m.Alias)), uint64(m.From))
}

func (m Unknown) append(b []byte) []byte {
	if m.Type <= typeMax {
		panic("wire: unknown message of a known type")
	}
	return append(append(b, m.Type), m.Body...)
}

// Since is the first revision of the mesh.
func (Hello) Since() uint8 { return 1 }

// Since is the first revision of the mesh.
func (Subscribe) Since() uint8 { return 1 }

// Since is the first revision of the mesh.
func (Unsubscribe) Since() uint8 { return 1 }

// Since is the first revision of the mesh.
func (Gone) Since() uint8 { return 1 }

// Since is the revision that brought floods and notes.
func (Flood) Since() uint8 { return 2 }

// Since is the revision that brought floods and notes.
func (Up) Since() uint8 { return 2 }

// Since is the revision that brought floods and notes.
func (Down) Since() uint8 { return 2 }

// Since is the revision that brought questions.
func (Ask) Since() uint8 { return 3 }

// Since is the revision that brought questions.
func (Answer) Since() uint8 { return 3 }

// Since is the revision that brought the replay of frames.
func (Resume) Since() uint8 { return 3 }

// Since is the first revision that passes over what it does not know.
func (Unknown) Since() uint8 { return 2 }

func appendFlag(b []byte, set bool) []byte {
	if set {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendName(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// parser takes one field after the other from b; after the first error it returns zero values.
type parser struct {
	b   []byte
	err error
}

func (p *parser) fail(err error) {
	if p.err == nil && err != nil {
		p.err, p.b = err, nil
	}
}

func (p *parser) take(n int) []byte {
	if len(p.b) < n {
		p.fail(errShort)
		return nil
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}

// rest takes all that is left, if that is from lenMin to lenMax octets, as a copy.
func (p *parser) rest(lenMin, lenMax int) []byte {
	if len(p.b) < lenMin || len(p.b) > lenMax {
		p.fail(errPayload)
	}
	b := slices.Clone(p.b)
	p.b = nil
	return b
}

func (p *parser) octet() uint8 {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

// flag takes an octet that is 0 or 1.
func (p *parser) flag() bool {
	o := p.octet()
	if o > 1 {
		p.fail(errFlag)
	}
	return o == 1
}

func (p *parser) uint16() uint16 {
	if b := p.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (p *parser) uint32() uint32 {
	if b := p.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (p *parser) alias() Alias {
	a, rest, err := parseAlias(p.b)
	p.b = rest
	p.fail(err)
	return a
}

func (p *parser) name() string { return string(p.take(int(p.octet()))) }

func (p *parser) node() rotunda.NodeID {
	id := rotunda.NodeID(p.name())
	p.valid(id.Valid())
	return id
}

// valid turns the vocabulary's errors into this package's.
func (p *parser) valid(err error) {
	if err != nil {
		p.fail(fmt.Errorf("%w: %w", ErrMalformed, err))
	}
}

func (p *parser) subscribe() Subscribe {
	m := Subscribe{Alias: p.alias()}
	m.Stream.Epoch = rotunda.Epoch(p.uint32())
	m.Stream.Room = rotunda.RoomID(p.name())
	m.Stream.Track = rotunda.Track(p.name())
	p.valid(m.Stream.Valid())
	hops := int(p.octet())
	if hops > rotunda.HopsMax {
		p.fail(errHops)
		return m
	}
	for range hops {
		m.Path = append(m.Path, p.node())
	}
	return m
}

func (p *parser) flood() Flood {
	m := Flood{Kind: p.octet(), Hops: p.octet()}
	if m.Hops > rotunda.HopsMax {
		p.fail(errHops)
	}
	m.Payload = p.rest(1, FloodMax)
	return m
}

func (p *parser) gone() Gone {
	m := Gone{Alias: p.alias(), Reason: Reason(p.octet())}
	if m.Reason < 1 || m.Reason > reasonMax {
		p.fail(errReason)
	}
	m.Node = p.node()
	return m
}

func (p *parser) resume() Resume {
	m := Resume{Alias: p.alias()}
	seq, rest, err := varint(p.b)
	p.b = rest
	p.fail(err)
	m.From = rotunda.Seq(seq)
	return m
}
