package people

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// halves is a picture whose left half has one colour and whose right half another.
func halves(w, h int, left, right color.Color) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			if x < w/2 {
				img.Set(x, y, left)
			} else {
				img.Set(x, y, right)
			}
		}
	}
	return img
}

func asPNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var (
	red, blue   = color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 0, 255, 255}
	transparent = color.NRGBA{}
)

// webpPixel is a picture of one pixel (VP8L).
const webpPixel = "RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00/\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"

func TestSquare(t *testing.T) {
	var anim bytes.Buffer
	frame := image.NewPaletted(image.Rect(0, 0, 30, 30), color.Palette{red, blue})
	if err := gif.EncodeAll(&anim, &gif.GIF{Image: []*image.Paletted{frame, frame}, Delay: []int{1, 1}}); err != nil {
		t.Fatal(err)
	}
	noise := image.NewNRGBA(image.Rect(0, 0, 400, 400))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise.Pix {
		noise.Pix[i] = byte(r.Uint32())
	}
	for what, c := range map[string]struct {
		upload []byte
		media  string
		side   int
	}{
		"wide PNG":          {asPNG(t, halves(800, 300, red, blue)), "image/jpeg", 256},
		"tall JPEG":         {asJPEG(t, halves(300, 900, red, blue)), "image/jpeg", 256},
		"small stays small": {asPNG(t, halves(40, 20, red, blue)), "image/jpeg", 20},
		"one pixel":         {asPNG(t, halves(1, 1, red, red)), "image/jpeg", 1},
		"transparent":       {asPNG(t, halves(300, 300, red, transparent)), "image/png", 256},
		"animated GIF":      {anim.Bytes(), "image/jpeg", 30},
		"noise with alpha":  {asPNG(t, noise), "image/jpeg", 256},
		"transparent WebP":  {[]byte(webpPixel), "image/png", 1},
	} {
		out, err := Square(c.upload)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		img, _, err := image.Decode(bytes.NewReader(out))
		if err != nil || img.Bounds().Dx() != c.side || img.Bounds().Dy() != c.side || MediaType(out) != c.media || len(out) > PictureMax {
			t.Errorf("%s: %s of %v, %d bytes, %v; want %s of %d", what, MediaType(out), img.Bounds(), len(out), err, c.media, c.side)
		}
	}
	out, err := Square(asPNG(t, halves(800, 300, red, blue)))
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if r, _, _, _ := img.At(20, 128).RGBA(); r < 0xf000 {
		t.Error("the middle of the picture is not what was kept: its left is not red")
	}
}

// chunk is a chunk of a PNG.
func chunk(name string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(b, name...)
	b = append(b, data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// What an upload carries beside its pixels is not in what is kept.
func TestMetadataIsDropped(t *testing.T) {
	secret := "51.4779 N 0.0015 W"
	plain := asPNG(t, halves(100, 100, red, transparent))
	marked := append([]byte{}, plain[:33]...) // the signature and IHDR
	marked = append(marked, chunk("tEXt", []byte("Comment\x00"+secret))...)
	marked = append(marked, plain[33:]...)
	marked = append(marked, "<script>"+secret+"</script>"...)
	photo := asJPEG(t, halves(100, 100, red, blue))
	photo = append(append(append([]byte{}, photo[:2]...), exif(6, secret)...), photo[2:]...)
	for what, upload := range map[string][]byte{"PNG": marked, "JPEG": photo} {
		if !bytes.Contains(upload, []byte(secret)) {
			t.Fatalf("%s: the upload holds no secret", what)
		}
		out, err := Square(upload)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if bytes.Contains(out, []byte(secret)) || bytes.Contains(out, []byte("script")) || bytes.Contains(out, []byte("Exif")) {
			t.Errorf("%s: metadata is kept", what)
		}
	}
}

// exif is an APP1 segment that says how the camera was held.
func exif(orientation byte, comment string) []byte {
	tiff := "MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00" + string(orientation) + "\x00\x00\x00\x00\x00\x00" + comment
	body := "Exif\x00\x00" + tiff
	return append([]byte{0xff, 0xe1, byte((len(body) + 2) >> 8), byte(len(body) + 2)}, body...)
}

// A picture taken with the camera on its side is shown upright (Exif 2.32 §4.6.4): where red ends up.
func TestOrientation(t *testing.T) {
	photo := asJPEG(t, halves(64, 64, red, blue)) // red on the left
	for o, place := range map[byte]image.Point{
		1: {4, 32}, 2: {60, 32}, 3: {60, 32}, 4: {4, 32}, 5: {32, 4}, 6: {32, 4}, 7: {32, 60}, 8: {32, 60}, 9: {4, 32}, 0: {4, 32},
	} {
		out, err := Square(append(append(append([]byte{}, photo[:2]...), exif(o, "")...), photo[2:]...))
		if err != nil {
			t.Fatal(err)
		}
		img, err := jpeg.Decode(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if r, _, b, _ := img.At(place.X, place.Y).RGBA(); r < 0xd000 || b > 0x3000 {
			t.Errorf("orientation %d: %v is not red", o, place)
		}
	}
}

func TestPicturesRefused(t *testing.T) {
	bomb := append([]byte{}, asPNG(t, halves(1, 1, red, red))...)
	binary.BigEndian.PutUint32(bomb[16:], 50_000)
	binary.BigEndian.PutUint32(bomb[20:], 50_000)
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	for what, upload := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "SVG": []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`),
		"HTML": []byte("<!doctype html>"), "cut": asPNG(t, halves(100, 100, red, blue))[:60], "bomb of 2.5 gigapixels": bomb,
		"only the magic": []byte("\x89PNG\r\n\x1a\n"), "BMP": []byte("BM\x00\x00\x00\x00"), "4097 × 1024": asPNG(t, image.NewGray(image.Rect(0, 0, 4097, 1024))),
		"9000 × 1": asPNG(t, image.NewGray(image.Rect(0, 0, 9000, 1))), "too long": []byte("\xff\xd8\xff" + strings.Repeat("x", UploadMax)),
	} {
		began := time.Now()
		if out, err := Square(upload); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %d bytes, %v, want ErrInvalid", what, len(out), err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: refused after %v", what, took)
		}
	}
}

// Whatever is accepted is a square JPEG or PNG within the bounds, and accepted again.
func FuzzSquare(f *testing.F) {
	f.Add(asPNG(f, halves(3, 2, red, transparent)))
	photo := asJPEG(f, halves(9, 9, red, blue))
	f.Add(append(append(append([]byte{}, photo[:2]...), exif(6, "x")...), photo[2:]...))
	f.Add([]byte(webpPixel))
	var anim bytes.Buffer
	if err := gif.Encode(&anim, halves(4, 4, red, blue), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(anim.Bytes())
	f.Fuzz(func(t *testing.T, upload []byte) {
		if len(upload) > 64<<10 {
			t.Skip()
		}
		out, err := Square(upload)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		img, _, err := image.Decode(bytes.NewReader(out))
		if err != nil || len(out) > PictureMax || img.Bounds().Dx() != img.Bounds().Dy() || img.Bounds().Dx() > PictureSide {
			t.Fatalf("kept %d bytes, %v", len(out), err)
		}
		if _, err := Square(out); err != nil {
			t.Fatalf("what was kept is refused: %v", err)
		}
	})
}

func BenchmarkSquare(b *testing.B) {
	photo := asJPEG(b, halves(2048, 2048, red, blue))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Square(photo); err != nil {
			b.Fatal(err)
		}
	}
}
