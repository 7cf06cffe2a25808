//go:build !linux

package main

import (
	"net/netip"
	"syscall"
)

// processesAreKnown says that ownerOf does not work here: the control log's own traffic is not delayed.
const processesAreKnown = false

// childAttributes put a node in a process group of its own, so that Ctrl-C reaches it through `up` only.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // it may be gone already

func ownerOf(netip.AddrPort, []int) int { return 0 }

func listenerOf(netip.AddrPort) int { return 0 }
