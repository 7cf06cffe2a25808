package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
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
	return holderOf(socketInode("tcp", tcpName(local)), pids)
}

// listenerOf returns which process of this machine serves that TCP address, 0 where none does or it cannot be seen.
func listenerOf(at netip.AddrPort) int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	any4, any6 := netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port()), netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())
	mapped := netip.AddrPortFrom(netip.AddrFrom16(at.Addr().As16()), at.Port())
	for _, name := range []struct {
		table string
		at    netip.AddrPort
	}{{"tcp", at}, {"tcp", any4}, {"tcp6", mapped}, {"tcp6", any6}} {
		if pid := holderOf(socketInode(name.table, tcpName(name.at)), pids); pid != 0 {
			return pid
		}
	}
	return 0
}

// holderOf returns which of the processes has the socket, 0 for none.
func holderOf(inode string, pids []int) int {
	if inode == "" || inode == "0" {
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

// tcpName writes an address as the kernel's tables do: words of 32 bits in the machine's order.
func tcpName(a netip.AddrPort) string {
	b := a.Addr().AsSlice()
	var name strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		fmt.Fprintf(&name, "%08X", binary.NativeEndian.Uint32(b))
	}
	fmt.Fprintf(&name, ":%04X", a.Port())
	return name.String()
}

// socketInode finds a socket in one of the kernel's tables (proc(5), /proc/net/tcp) by its local address, "" where it is
// not. One that listens comes before the connections made of it.
func socketInode(table, local string) (inode string) {
	f, err := os.Open("/proc/net/" + table)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if columns := strings.Fields(lines.Text()); len(columns) > 9 && columns[1] == local {
			if inode = columns[9]; columns[3] == "0A" { // TCP_LISTEN
				return inode
			}
		}
	}
	return inode
}
