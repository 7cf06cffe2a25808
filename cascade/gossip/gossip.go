// Package gossip keeps the list of the mesh's members.
package gossip
