package control

import "rotunda"

// Barred reports whether a host has banned somebody from all of their rooms, in any of them (room.Remove.Everywhere), as
// far as the directory knows.
func (c *Control) Barred(host, user rotunda.UserID) bool {
	if host == "" || user == "" {
		return false
	}
	d := &c.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.rooms {
		for _, b := range s.Barred {
			if b.Host == host && b.User == user {
				return true
			}
		}
	}
	return false
}
