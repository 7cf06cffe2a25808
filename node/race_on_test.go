//go:build race

package node

// raceDetector makes this process several times slower: times say nothing then.
const raceDetector = true
