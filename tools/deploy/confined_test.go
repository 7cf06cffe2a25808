package main

import (
	"os"
	"syscall"
)

// userID is the image's user.
const userID = 65532

// confined is how a process runs in a container's files and as its user, where this process need be nobody in particular.
func confined(root string) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Chroot: root, Cloneflags: syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: userID, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: userID, HostID: os.Getgid(), Size: 1}},
	}
}
