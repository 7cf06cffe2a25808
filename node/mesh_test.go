package node

import (
	"net/http"
	"testing"
)

// The whole voice path and the decisions that rule it, over three nodes of one process.
func TestRoomAcrossNodes(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(0, "Ada")
	room := ada.createRoom("Tones")
	bob := m.guest(2, "Bob")
	ear := bob.listen(room, 1)

	const adaTone, bobTone = 440.0, 1000.0
	stop := ada.sayTone(room, adaTone)
	m.eventually("the microphone opens muted: packets are dropped for it", func() bool {
		return m.counted(0, `rotunda_ingest_dropped_total{reason="muted"}`) > 10
	})
	if ear.hears(adaTone) {
		t.Error("a muted host is heard")
	}

	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Bob hears Ada on another node", func() bool { return ear.hears(adaTone) })
	ear.mu.Lock()
	sources := ear.sources.Len()
	ear.mu.Unlock()
	if sources != 1 {
		t.Errorf("%d sources in the program while one speaks", sources)
	}

	ada.do("POST", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("muted, Ada is heard no more", func() bool { return ear.level() > 70 })

	// Bob asks, is approved, and Ada hears him, unmixed; both are in the program.
	bob.do("POST", "/rooms/"+room+"/requests", nil, nil, http.StatusOK)
	ada.do("POST", "/rooms/"+room+"/requests/"+bob.User+"/approve", nil, nil, http.StatusOK)
	adaEar := ada.listen(room, 4)
	bob.sayTone(room, bobTone)
	bob.do("DELETE", "/rooms/"+room+"/participants/"+bob.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Ada hears Bob", func() bool { return adaEar.hears(bobTone) })
	cyd := m.guest(1, "Cyd").listen(room, 1)
	m.eventually("Cyd hears Bob from the mixer", func() bool { return cyd.hears(bobTone, adaTone) })
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("and then both", func() bool { return cyd.hears(bobTone) && cyd.hears(adaTone) })
	if adaEar.hears(adaTone) {
		t.Error("Ada hears herself")
	}

	// Removed, Bob is off the air and his sessions end.
	ada.do("DELETE", "/rooms/"+room+"/participants/"+bob.User, map[string]any{"ban": true, "reason": "test"}, nil, http.StatusOK)
	m.eventually("Bob is heard no more", func() bool { return cyd.hears(adaTone, bobTone) })
	m.eventually("Bob's listening session is over", func() bool {
		select {
		case <-ear.player.Done():
			return true
		default:
			return false
		}
	})
	stop()
	ada.do("POST", "/rooms/"+room+"/end", nil, nil, http.StatusOK)
	m.eventually("an ended room ends its sessions", func() bool {
		select {
		case <-cyd.player.Done():
			return true
		default:
			return false
		}
	})
	m.eventually("nothing is held", func() bool {
		for _, n := range m.nodes {
			n.rooms.mu.Lock()
			held := len(n.rooms.served)
			n.rooms.mu.Unlock()
			if held != 0 {
				return false
			}
		}
		return true
	})
}
