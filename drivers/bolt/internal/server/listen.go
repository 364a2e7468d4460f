package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	socketMode = 0o660
	// sockaddr_un's 108 bytes without the ending 0, and without what the socket is called until it has its mode.
	socketPathBytes = 107 - len(earlyEnding)
	earlyEnding     = ".new"
)

// Listener is an open address.
type Listener struct {
	net.Listener
	// Address is what a core is given: unix:///path or host:port.
	Address string
	socket  fs.FileInfo
}

// Listen opens an address of the process contract [process.listen.01]. Beyond loopback it takes TLS, or insecure said
// aloud [process.tls.01].
func Listen(address string, tls, insecure bool) (*Listener, error) {
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		return listenUnix(path)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return nil, fmt.Errorf("--listen %s is neither unix:///path/x.sock nor host:port", address)
	}
	if !isLoopback(host) && !tls && !insecure {
		return nil, fmt.Errorf("--listen %s is beyond loopback: give --tls-cert and --tls-key, or --insecure to serve plain text", address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be listened on: %w", address, err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return &Listener{Listener: listener, Address: net.JoinHostPort(host, port)}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// listenUnix replaces a socket that nobody listens on and refuses a live one [process.listen.02]. The socket gets its
// mode before it gets its name: nobody ever sees it open to all.
func listenUnix(path string) (*Listener, error) {
	if strings.HasPrefix(path, "//") {
		path = path[2:]
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if len(path) > socketPathBytes {
		return nil, fmt.Errorf("the socket's path %s is longer than %d bytes: choose a shorter one", path, socketPathBytes)
	}
	if err := checkFree(path); err != nil {
		return nil, err
	}
	early := path + earlyEnding
	if err := os.Remove(early); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the socket %s cannot be made: %w", path, err)
	}
	listener, err := net.Listen("unix", early)
	if err != nil {
		return nil, fmt.Errorf("the socket %s cannot be made: is its folder there, and may this process write to it? %w", path, err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	info, err := name(early, path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the socket %s cannot be made: %w", path, err), listener.Close())
	}
	return &Listener{Listener: listener, Address: "unix://" + path, socket: info}, nil
}

func name(early, path string) (fs.FileInfo, error) {
	if err := os.Chmod(early, socketMode); err != nil {
		return nil, err
	}
	if err := os.Rename(early, path); err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

func checkFree(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the socket %s cannot be made: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket: choose another path or remove it", path)
	}
	probe, err := net.Dial("unix", path)
	if err == nil {
		_ = probe.Close()
	} else if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// A socket that we may not open may well be served.
	return fmt.Errorf("another process serves at unix://%s: stop it or choose another path", path)
}

// Remove takes the socket file away, unless a successor has put its own there.
func (l *Listener) Remove() {
	path, isUnix := strings.CutPrefix(l.Address, "unix://")
	if !isUnix {
		return
	}
	if now, err := os.Lstat(path); err == nil && os.SameFile(now, l.socket) {
		_ = os.Remove(path)
	}
}
