package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// loopback is where everything listens that is not meant for users.
var loopback = net.IPv4(127, 0, 0, 1)

// hostPort joins an IP and a port, with brackets around IPv6.
func hostPort(ip net.IP, port int) string {
	return net.JoinHostPort(ip.String(), strconv.Itoa(port))
}

// reachable is the address at which this machine reaches a server bound to ip:
// ip itself, or loopback when it listens everywhere.
func reachable(ip net.IP) net.IP {
	switch {
	case ip.Equal(net.IPv4zero):
		return loopback
	case ip.Equal(net.IPv6unspecified):
		return net.IPv6loopback
	default:
		return ip
	}
}

// claimPort makes sure that port can be listened on at ip and returns it; port 0
// stands for a free one. name is the flag that a user can change.
//
// The Temporal server opens its ports itself and ends the process when it
// cannot, so this check is what gives a readable error.
func claimPort(ctx context.Context, name string, ip net.IP, port int) (int, error) {
	if port == 0 {
		return freePort(ctx, ip)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", hostPort(ip, port))
	if err != nil {
		return 0, portError(name, ip, port, err)
	}
	return port, l.Close()
}

func portError(name string, ip net.IP, port int, err error) error {
	addr := hostPort(ip, port)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is taken by another process: stop that one, or choose another port with %s (0 picks a free one)", addr, name)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("this machine has no address %s: choose another with --ip", ip)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("not allowed to listen on %s: choose a port above 1023 with %s", addr, name)
	default:
		return fmt.Errorf("cannot listen on %s (%s): %w", addr, name, err)
	}
}

// freePort finds a port of ip that nothing listens on, in a way that keeps it
// free for a while: a connection that the listening side closes first leaves the
// port in TIME_WAIT, and the kernel hands out no such port, while an explicit
// listen on it (with SO_REUSEADDR, as Go sets it) succeeds. Servers that start
// side by side therefore do not race for the same port.
func freePort(ctx context.Context, ip net.IP) (port int, err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", hostPort(ip, 0))
	if err != nil {
		return 0, fmt.Errorf("find a free port on %s: %w", ip, err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("find a free port on %s: unexpected address %s", ip, l.Addr())
	}
	var d net.Dialer
	client, err := d.DialContext(ctx, "tcp", hostPort(reachable(ip), addr.Port))
	if err != nil {
		return 0, fmt.Errorf("find a free port on %s: %w", ip, err)
	}
	served, err := l.Accept()
	if err != nil {
		return 0, errors.Join(err, client.Close())
	}
	return addr.Port, errors.Join(served.Close(), client.Close())
}

// writeAddressFile writes the two lines that scripts wait for. The file appears
// complete or not at all, so a reader never sees half of it.
func writeAddressFile(path, address, uiURL string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write --address-file: %w", err)
	}
	_, err = fmt.Fprintf(tmp, "%s\n%s\n", address, uiURL)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write --address-file: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}
