//go:build !race

package main

// underRace says that the race detector is at work: it is not.
const underRace = false
