package rtc

import "time"

// fromNTP is an NTP time, seconds since 1900 and a fraction of 32 bits (RFC 3550 §4), as ours: until 2036 and again from then on.
func fromNTP(ntp uint64) time.Time {
	return time.Unix(int64(ntp>>32)-ntpEpoch, int64(ntp&0xffffffff*uint64(time.Second)>>32))
}

// ntpEpoch is 1900 in Unix seconds, negated.
const ntpEpoch = 2208988800
