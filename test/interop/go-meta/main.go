// A meta driver in Go, written from the .proto files alone: it shows that the contract can be met without the SDK.
// Values live in memory. The flags that make it wrong on purpose exist for the tests of what a core refuses.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	handshakev1 "outrigger.test/go-meta/gen/outrigger/handshake/v1"
	metav1 "outrigger.test/go-meta/gen/outrigger/meta/v1"
)

const (
	maxMessageBytes = 4 << 20
	drainTime       = 2 * time.Second
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "go-meta: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", os.Getenv("OUTRIGGER_LISTEN"), "unix:///path/x.sock or 127.0.0.1:port")
	storeID := flag.String("store-id", "", "the store's UUID; empty: a new one")
	readOnly := flag.Bool("read-only", false, "refuse every Write")
	major := flag.Uint("api-major", 1, "the major version of outrigger.meta that is claimed")
	minor := flag.Uint("api-minor", 0, "the minor version of outrigger.meta that is claimed")
	clockOffset := flag.Duration("clock-offset", 0, "how far this driver's clock is off")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unknown argument %q: there are only flags, see --help", flag.Arg(0))
	}

	listener, err := listenOn(*listen)
	if err != nil {
		return err
	}
	id := *storeID
	if id == "" {
		id = newUUID()
	}
	identity := newIdentity(id, uint32(*major), uint32(*minor))
	calls := callRules{
		identity: identity,
		readOnly: *readOnly,
		now:      func() time.Time { return time.Now().Add(*clockOffset) },
	}

	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.UnaryInterceptor(calls.unary),
	)
	handshakev1.RegisterHandshakeServiceServer(server, identity)
	metav1.RegisterMetaServiceServer(server, newMetaService(calls.now))
	healthServer := health.NewServer()
	healthServer.SetServingStatus(metav1.MetaService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	healthv1.RegisterHealthServer(server, healthServer)

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	go func() {
		<-stop.Done()
		healthServer.Shutdown()
		time.AfterFunc(drainTime, server.Stop)
		server.GracefulStop()
	}()
	fmt.Fprintf(os.Stderr, `{"level":30,"msg":"listening","address":%q,"store":%q}`+"\n", listener.Addr(), id)
	// Ended before it began to serve.
	if err := server.Serve(listener); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// listenOn opens an address of the process contract. A socket file that nobody listens on is replaced, a live one is
// refused [process.listen.02]; beyond loopback this driver does not listen, since it has no TLS [process.tls.01].
func listenOn(address string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("--listen %q is neither unix:///path nor host:port", address)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("--listen %s is beyond loopback, and this driver has no TLS: use 127.0.0.1 or unix://", address)
		}
		return net.Listen("tcp", address)
	}
	if probe, err := net.Dial("unix", path); err == nil {
		probe.Close()
		return nil, fmt.Errorf("another process listens on %s: stop it, or choose another --listen", address)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(path, 0o660)
}
