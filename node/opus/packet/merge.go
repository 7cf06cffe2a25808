package packet

// MergeMax is how many packets Merge puts together at most: 60 ms of the mesh's frames.
const MergeMax = 3

// Mergeable reports whether b can share a packet with others like it: it is one frame of the given length, and the frame has
// bytes.
func Mergeable(b []byte, ticks int) bool {
	in, err := Parse(b)
	return err == nil && b[0]&3 == 0 && in.FrameTicks == ticks && !in.Empty
}

// Merge appends to dst one packet that plays the frames of several packets one after another, without coding anything again
// (RFC 6716 §3.2). Each must be of one frame, and all of the same mode, bandwidth, frame length and channels; ok is false, and
// dst unchanged, where they are not, or together play longer than a packet may.
func Merge(dst []byte, packets [][]byte) (merged []byte, ok bool) {
	if len(packets) == 0 || len(packets) > MergeMax {
		return dst, false
	}
	equal := true
	for _, p := range packets {
		if len(p) == 0 || p[0]&3 != 0 || p[0] != packets[0][0] || len(p)-1 > FrameBytesMax {
			return dst, false
		}
		equal = equal && len(p) == len(packets[0])
	}
	toc := packets[0][0]
	if shape(toc).FrameTicks*len(packets) > TicksMax {
		return dst, false
	}
	switch {
	case len(packets) == 1:
		dst = append(dst, toc)
	case len(packets) == 2 && equal:
		dst = append(dst, toc|1)
	case len(packets) == 2:
		dst = appendLength(append(dst, toc|2), len(packets[0])-1)
	case equal:
		dst = append(dst, toc|3, byte(len(packets)))
	default:
		dst = append(dst, toc|3, 0x80|byte(len(packets)))
		for _, p := range packets[:len(packets)-1] {
			dst = appendLength(dst, len(p)-1)
		}
	}
	for _, p := range packets {
		dst = append(dst, p[1:]...)
	}
	return dst, true
}

// appendLength is the inverse of length, RFC 6716 §3.2.1.
func appendLength(dst []byte, n int) []byte {
	if n < 252 {
		return append(dst, byte(n))
	}
	first := 252 + n&3
	return append(dst, byte(first), byte((n-first)/4))
}
