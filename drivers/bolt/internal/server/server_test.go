package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/store"
	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/testtls"

	handshakev1 "github.com/outrigger-registry/outrigger/drivers/bolt/internal/gen/outrigger/handshake/v1"
	metav1 "github.com/outrigger-registry/outrigger/drivers/bolt/internal/gen/outrigger/meta/v1"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

type served struct {
	address string
	store   *store.Store
	stop    context.CancelFunc
	ended   chan error
}

// serve runs a server on a store of its own, on a unix socket, or on loopback where there is TLS.
func serve(t *testing.T, options Options) served {
	t.Helper()
	folder := t.TempDir()
	storeOptions := store.Options{Path: filepath.Join(folder, "meta.db"), Log: silent, Now: time.Now}
	if _, _, err := store.Init(t.Context(), storeOptions); err != nil {
		t.Fatal(err)
	}
	opened, err := store.Open(t.Context(), storeOptions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	address := "unix://" + filepath.Join(folder, "s")
	if options.TLS != nil {
		address = "127.0.0.1:0"
	}
	listener, err := Listen(address, options.TLS != nil, false)
	if err != nil {
		t.Fatal(err)
	}
	options.Version, options.Log, options.Now = "1.2.3", silent, time.Now
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, listener, opened, options) }()
	t.Cleanup(stop)
	return served{listener.Address, opened, stop, ended}
}

func (s served) connect(t *testing.T, transport credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	connection, err := grpc.NewClient(strings.Replace(s.address, "unix://", "unix:", 1), grpc.WithTransportCredentials(transport))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func (s served) call(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, headerStore, s.store.ID())
}

func wantAnswer(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	answer := status.Convert(err)
	if answer.Code() != code {
		t.Fatalf("%v, not %s", err, code)
	}
	for _, detail := range answer.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "outrigger" && info.Reason == reason {
			return
		}
	}
	t.Fatalf("%v: details %v, not %s", err, answer.Details(), reason)
}

func TestWhatIsNotServedIsSaidSo(t *testing.T) {
	s := serve(t, Options{})
	connection := s.connect(t, insecure.NewCredentials())
	var header metadata.MD
	err := connection.Invoke(t.Context(), "/outrigger.blob.v1.BlobService/Stat", &metav1.GetRequest{}, &metav1.GetResponse{}, grpc.Header(&header))
	wantAnswer(t, err, codes.Unimplemented, "CAPABILITY_MISSING")
	if len(header.Get(headerNow)) != 1 || len(header.Get(headerContract)) != 1 {
		t.Fatal(header)
	}
}

func TestTheContractChangesWithWhatIsDescribed(t *testing.T) {
	s := serve(t, Options{})
	first := newIdentity("1.2.3", s.store, silent)
	if again := newIdentity("1.2.3", s.store, silent); again.contract != first.contract {
		t.Fatal("it differs without a reason")
	}
	if other := newIdentity("1.2.4", s.store, silent); other.contract == first.contract {
		t.Fatal("another release, the same hash")
	}
	described, err := handshakev1.NewHandshakeServiceClient(s.connect(t, insecure.NewCredentials())).Describe(t.Context(), &handshakev1.DescribeRequest{})
	if err != nil || described.Version != "1.2.3" || described.Stores[0].Id != s.store.ID() {
		t.Fatal(described, err)
	}
}

// [process.drain.01]
func TestDrain(t *testing.T) {
	s := serve(t, Options{})
	connection := s.connect(t, insecure.NewCredentials())
	watch, err := healthv1.NewHealthClient(connection).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := watch.Recv(); err != nil || answer.Status != healthv1.HealthCheckResponse_SERVING {
		t.Fatal(answer, err)
	}
	started := time.Now()
	s.stop()
	if answer, err := watch.Recv(); err != nil || answer.Status != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Fatal(answer, err)
	}
	_, err = watch.Recv()
	wantAnswer(t, err, codes.Unavailable, "DRAINING")
	if err := <-s.ended; err != nil || time.Since(started) > drainTime {
		t.Fatal(err, time.Since(started))
	}
	if _, err := os.Lstat(strings.TrimPrefix(s.address, "unix://")); !os.IsNotExist(err) {
		t.Fatal("the socket is still there", err)
	}
}

func TestSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	refused := func(part string) {
		t.Helper()
		if _, err := Listen("unix://"+path, false, false); err == nil || !strings.Contains(err.Error(), part) {
			t.Fatalf("%v, not something with %q", err, part)
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("is no socket")
	_ = os.Remove(path)
	live, err := Listen("unix://"+path, false, false)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Lstat(path); info.Mode().Perm() != socketMode {
		t.Fatal(info.Mode())
	}
	refused("another process serves")
	_ = live.Close() // as kill -9 would: the file stays
	next, err := Listen("unix://"+path, false, false)
	if err != nil {
		t.Fatal("a stale socket was not replaced:", err)
	}
	live.Remove()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal("the successor's socket was taken away")
	}
	_ = next.Close()
	next.Remove()
	if _, err := os.Lstat(path); err == nil {
		t.Fatal("the socket is still there")
	}
	path = "/" + strings.Repeat("x", 110)
	refused("longer than")
	path = filepath.Join(t.TempDir(), "nowhere", "s")
	refused("is its folder there")
}

// [process.tls.01]
func TestBeyondLoopbackTakesTLS(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0"} {
		if _, err := Listen(address, false, false); err == nil || !strings.Contains(err.Error(), "beyond loopback") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{":0", "nonsense", "127.0.0.1"} {
		if _, err := Listen(address, false, false); err == nil || !strings.Contains(err.Error(), "is neither") {
			t.Errorf("%s: %v", address, err)
		}
	}
	listener, err := Listen("0.0.0.0:0", false, true)
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
}

func TestTLSNamesAndRotation(t *testing.T) {
	folder := t.TempDir()
	driver, friend, stranger := testtls.New(t, folder, "driver"), testtls.New(t, folder, "friend"), testtls.New(t, folder, "stranger")
	clients := filepath.Join(folder, "clients.pem")
	write(t, clients, append(read(t, friend.Cert), read(t, stranger.Cert)...))
	files, err := NewTLS(TLSFiles{Cert: driver.Cert, Key: driver.Key, ClientCA: clients})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, Options{TLS: files, AllowedClients: []string{"friend"}})
	get := func(trusted testtls.Pair, own *testtls.Pair) error {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(read(t, trusted.Cert))
		config := &tls.Config{RootCAs: roots, ServerName: "driver"}
		if own != nil {
			certificate, err := tls.LoadX509KeyPair(own.Cert, own.Key)
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{certificate}
		}
		ctx, cancel := context.WithTimeout(s.call(t.Context()), 10*time.Second)
		defer cancel()
		_, err := metav1.NewMetaServiceClient(s.connect(t, credentials.NewTLS(config))).Get(ctx, &metav1.GetRequest{Keys: []string{"a"}})
		return err
	}
	if err := get(driver, &friend); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, get(driver, &stranger), codes.PermissionDenied, "NOT_ALLOWED")
	if err := get(driver, nil); status.Code(err) != codes.Unavailable {
		t.Fatal("without a certificate:", err)
	}

	// Half a rotation is not taken, a whole one is, without a restart.
	next := testtls.New(t, t.TempDir(), "driver")
	write(t, driver.Cert, read(t, next.Cert))
	if _, err := files.reload(); err == nil {
		t.Fatal("a certificate was taken with the key of another")
	}
	write(t, driver.Key, read(t, next.Key))
	if changed, err := files.reload(); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if err := get(next, &friend); err != nil {
		t.Fatal("the new certificate is not in use:", err)
	}
	if changed, err := files.reload(); err != nil || changed {
		t.Fatal("reread without a reason", changed, err)
	}
	write(t, clients, []byte("no PEM"))
	if _, err := files.reload(); err == nil {
		t.Fatal("a CA file without a certificate was taken")
	}
	if _, err := NewTLS(TLSFiles{Cert: driver.Cert, Key: filepath.Join(folder, "nowhere")}); err == nil {
		t.Fatal("a key that is not there")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
