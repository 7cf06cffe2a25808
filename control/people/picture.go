package people

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	stddraw "image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

// Bounds of pictures, inclusive.
const (
	// UploadMax is the longest picture that is looked at, in bytes.
	UploadMax = 2 << 20
	// PictureMax is the longest picture that is kept, in bytes.
	PictureMax = 64 << 10
	// PictureSide is the side of the squares that pictures are made, in pixels; smaller ones stay as small as they are.
	PictureSide = 256

	// uploadSideMax and uploadPixelsMax bound what is decoded: at worst, a progressive JPEG without subsampling, 60 MiB. A
	// phone's camera has more pixels; whoever sends from one makes the picture smaller first.
	uploadSideMax   = 8192
	uploadPixelsMax = 4 << 20
)

// codec reads one format.
type codec struct {
	magic  func([]byte) bool
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

// codecs are the formats that are taken. What an upload is follows from its first bytes: a name or header proves nothing.
var codecs = []codec{
	{starts("\x89PNG\r\n\x1a\n"), png.DecodeConfig, png.Decode},
	{starts("\xff\xd8\xff"), jpeg.DecodeConfig, jpeg.Decode},
	{starts("GIF87a"), gif.DecodeConfig, gif.Decode}, // the first picture of it
	{starts("GIF89a"), gif.DecodeConfig, gif.Decode},
	{func(b []byte) bool { return len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP" }, webp.DecodeConfig, webp.Decode},
}

func starts(magic string) func([]byte) bool {
	return func(b []byte) bool { return bytes.HasPrefix(b, []byte(magic)) }
}

// Square makes of an uploaded PNG, JPEG, GIF or WebP what is kept: the largest square in its middle, at most PictureSide
// wide, encoded anew as PNG where it is transparent and as JPEG otherwise, in at most PictureMax bytes. Nothing of the
// upload's bytes is kept, so no metadata, no second picture and no other file that may hide in it. Its cost is bounded by
// UploadMax and the pixels that the picture says it has, which are checked before any is decoded. Errors wrap ErrInvalid.
func Square(upload []byte) ([]byte, error) {
	if len(upload) > UploadMax {
		return nil, fmt.Errorf("picture: %w: more than %d bytes", ErrInvalid, UploadMax)
	}
	for _, c := range codecs {
		if !c.magic(upload) {
			continue
		}
		size, err := c.config(bytes.NewReader(upload))
		if err != nil {
			return nil, fmt.Errorf("picture: %w: cannot be read", ErrInvalid)
		}
		w, h := size.Width, size.Height
		if w < 1 || h < 1 || w > uploadSideMax || h > uploadSideMax || w*h > uploadPixelsMax {
			return nil, fmt.Errorf("picture: %w: %d × %d pixels, at most %d in all", ErrInvalid, w, h, uploadPixelsMax)
		}
		img, err := c.decode(bytes.NewReader(upload))
		if err != nil || img.Bounds().Empty() {
			return nil, fmt.Errorf("picture: %w: cannot be read", ErrInvalid)
		}
		return encodeSquare(squared(img, orientation(upload)))
	}
	return nil, fmt.Errorf("picture: %w: not PNG, JPEG, GIF or WebP", ErrInvalid)
}

// squared is the square in the middle of img, turned as its camera says.
func squared(img image.Image, o int) *image.RGBA {
	b := img.Bounds()
	side := min(b.Dx(), b.Dy())
	from := image.Rect(0, 0, side, side).Add(b.Min).Add(image.Pt((b.Dx()-side)/2, (b.Dy()-side)/2))
	to := image.Rect(0, 0, min(side, PictureSide), min(side, PictureSide))
	out := image.NewRGBA(to)
	draw.CatmullRom.Scale(out, to, img, from, draw.Src, nil)
	return turn(out, o)
}

// encodeSquare encodes in at most PictureMax bytes.
func encodeSquare(img *image.RGBA) ([]byte, error) {
	var b bytes.Buffer
	if !img.Opaque() {
		if err := png.Encode(&b, img); err != nil {
			return nil, fmt.Errorf("encode a picture: %v", err)
		}
		if b.Len() <= PictureMax {
			return b.Bytes(), nil
		}
		flat := image.NewRGBA(img.Bounds())
		stddraw.Draw(flat, flat.Bounds(), image.NewUniform(color.White), image.Point{}, stddraw.Src)
		stddraw.Draw(flat, flat.Bounds(), img, image.Point{}, stddraw.Over)
		img = flat
	}
	// 256 × 256 pixels of noise have 33 KiB at quality 75; the loop is for pictures that are worse than noise.
	for quality := 85; quality > 0; quality -= 20 {
		b.Reset()
		if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
			return nil, fmt.Errorf("encode a picture: %v", err)
		}
		if b.Len() <= PictureMax {
			return b.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("picture: %w: does not fit into %d bytes", ErrInvalid, PictureMax)
}

// HashOf is the name of a picture.
func HashOf(picture []byte) Hash {
	sum := sha256.Sum256(picture)
	return Hash(hex.EncodeToString(sum[:]))
}

// MediaType is that of a picture that Square made.
func MediaType(picture []byte) string {
	if bytes.HasPrefix(picture, []byte("\xff\xd8")) {
		return "image/jpeg"
	}
	return "image/png"
}
