package opus

import "rotunda/node/mix"

// Codecs are this package's decoder and encoder as the mixer asks for them.
func Codecs() mix.Codecs {
	return mix.Codecs{
		NewDecoder: func() (mix.Decoder, error) { return NewDecoder() },
		NewEncoder: func(o mix.Options) (mix.Encoder, error) {
			return NewEncoder(EncoderConfig{Bitrate: o.Bitrate, LossPercent: o.LossPercent, Complexity: o.Complexity})
		},
	}
}
