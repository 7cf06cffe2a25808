package main

import (
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"unsafe"
)

// What a terminal that does not say has.
const (
	widthUsual  = 80
	heightUsual = 24
)

// outIsScreen reports whether stdout is a terminal that understands where to put its cursor.
func (t *terminal) outIsScreen() bool {
	kind := os.Getenv("TERM")
	return isTerminal(t.out) && kind != "" && kind != "dumb"
}

// width is how wide lines may be: as wide as stdout's terminal, and as they like in a pipe (0).
func (t *terminal) width() int {
	if !isTerminal(t.out) {
		return 0
	}
	width, _ := screenSize(t.out)
	return width
}

// screenSize is how many columns and lines w has: as the terminal says, else the environment, else the usual.
func screenSize(w io.Writer) (width, height int) {
	width, height = sizeFrom("COLUMNS", widthUsual), sizeFrom("LINES", heightUsual)
	f, ok := w.(*os.File)
	if !ok {
		return width, height
	}
	var size struct{ rows, columns, x, y uint16 } // struct winsize, ioctl_tty(2)
	_, _, failed := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	if failed != 0 || size.rows == 0 || size.columns == 0 {
		return width, height
	}
	return int(size.columns), int(size.rows)
}

func sizeFrom(variable string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil && n > 0 && n < 10_000 {
		return n
	}
	return usual
}

// notifyResize has c told when the terminal has another size.
func notifyResize(c chan<- os.Signal) { signal.Notify(c, syscall.SIGWINCH) }
