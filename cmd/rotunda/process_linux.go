package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// processesAreKnown says that ownerOf works here.
const processesAreKnown = true

// childAttributes put a node in a process group of its own, so that Ctrl-C reaches it through `up` only, and have the kernel
// kill it when `up` dies, whatever kills that.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // it may be gone already

// ownerOf returns which of the processes has the loopback TCP socket with that local address, 0 for none.
func ownerOf(local netip.AddrPort, pids []int) int {
	inode := socketInode(local)
	if inode == "" {
		return 0
	}
	want := "socket:[" + inode + "]"
	for _, pid := range pids {
		folder := fmt.Sprintf("/proc/%d/fd", pid)
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue // ended
		}
		for _, e := range entries {
			if target, err := os.Readlink(filepath.Join(folder, e.Name())); err == nil && target == want {
				return pid
			}
		}
	}
	return 0
}

// socketInode finds a socket in the kernel's table (proc(5), /proc/net/tcp), "" where it is not.
func socketInode(local netip.AddrPort) string {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return ""
	}
	defer f.Close()
	ip := local.Addr().Unmap().As4()
	want := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), local.Port())
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if columns := strings.Fields(lines.Text()); len(columns) > 9 && columns[1] == want {
			return columns[9]
		}
	}
	return ""
}
