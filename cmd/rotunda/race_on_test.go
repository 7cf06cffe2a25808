//go:build race

package main

// underRace says that the race detector slows these tests and the nodes that they start some ten times: what they do is
// still right then, and no longer in time.
const underRace = true
