package people

import (
	"encoding/binary"
	"image"
)

// orientation is how a JPEG's camera was held: the Exif tag 0x0112, 1 to 8 (Exif 2.32 §4.6.4); 1, upright, where it does
// not say. It is the one thing of the metadata that the picture would be wrong without. It looks at lengths and never
// past the data.
func orientation(data []byte) int {
	exif := exifOf(data)
	if len(exif) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(exif[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := uint64(order.Uint32(exif[4:])) // of the first directory: a count, then 12 bytes an entry
	if at+2 > uint64(len(exif)) {
		return 1
	}
	entries := exif[at+2:]
	for range order.Uint16(exif[at:]) {
		if len(entries) < 12 {
			return 1
		}
		if order.Uint16(entries) == 0x0112 && order.Uint16(entries[2:]) == 3 { // a SHORT
			if o := int(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			return 1
		}
		entries = entries[12:]
	}
	return 1
}

// exifOf finds the TIFF structure in a JPEG's first APP1 segment that has one; nil: none.
func exifOf(data []byte) []byte {
	if len(data) < 4 || data[0] != 0xff || data[1] != 0xd8 {
		return nil
	}
	for data = data[2:]; len(data) >= 4 && data[0] == 0xff; {
		marker, size := data[1], int(binary.BigEndian.Uint16(data[2:]))
		if size < 2 || len(data) < 2+size || marker == 0xda { // the picture itself begins
			return nil
		}
		segment := data[4 : 2+size]
		if marker == 0xe1 && len(segment) > 6 && string(segment[:6]) == "Exif\x00\x00" {
			return segment[6:]
		}
		data = data[2+size:]
	}
	return nil
}

// turn makes a square picture upright.
func turn(img *image.RGBA, o int) *image.RGBA {
	if o == 1 {
		return img
	}
	n := img.Bounds().Dx()
	out := image.NewRGBA(img.Bounds())
	for y := range n {
		for x := range n {
			fx, fy := x, y // where the pixel comes from
			switch o {
			case 2:
				fx = n - 1 - x
			case 3:
				fx, fy = n-1-x, n-1-y
			case 4:
				fy = n - 1 - y
			case 5:
				fx, fy = y, x
			case 6:
				fx, fy = y, n-1-x
			case 7:
				fx, fy = n-1-y, n-1-x
			case 8:
				fx, fy = n-1-y, x
			}
			out.SetRGBA(x, y, img.RGBAAt(fx, fy))
		}
	}
	return out
}
