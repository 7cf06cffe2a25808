package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"rotunda/cascade/link"
	"rotunda/cascade/wire"
)

// versions is what a binary is and speaks.
type versions struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // commit
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	Links    struct {
		ALPN     string `json:"alpn"`
		Revision uint8  `json:"revision"` // of the messages between nodes
		Oldest   uint8  `json:"oldest"`   // that a peer may speak
	} `json:"links"`
}

func newVersion(t *terminal) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit, and what the binary speaks with other nodes",
		Long: `Print the version, the commit, and what the binary speaks with other nodes. Two nodes understand each other
where each one's revision is at least the other's oldest.

  rotunda version
  rotunda version --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versions{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
			v.Version, v.Revision = build()
			v.Links.ALPN, v.Links.Revision, v.Links.Oldest = link.ALPN, wire.Revision, wire.RevisionMin
			if asJSON {
				return t.printJSON(v)
			}
			fmt.Fprintf(t.out, "rotunda %s (%s, %s, %s/%s)\n", v.Version, v.Revision, v.Go, v.OS, v.Arch)
			fmt.Fprintf(t.out, "links   %s, revision %d, understands %d and later\n", v.Links.ALPN, v.Links.Revision, v.Links.Oldest)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, for machines")
	return c
}

// Set by the linker: -X main.linkedVersion=… (Makefile). Without, as with go install, the build's own record is read.
var linkedVersion, linkedRevision string

// build says what this binary was built from.
func build() (version, revision string) {
	if linkedVersion != "" {
		return linkedVersion, linkedRevision
	}
	version, revision = "devel", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, revision
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			revision = s.Value[:12]
		}
	}
	return version, revision
}
