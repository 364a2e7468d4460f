// Package server speaks the protocol: the handshake, the meta service, health, and what every call owes.
package server

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/rules"
	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/store"

	handshakev1 "github.com/outrigger-registry/outrigger/drivers/bolt/internal/gen/outrigger/handshake/v1"
	metav1 "github.com/outrigger-registry/outrigger/drivers/bolt/internal/gen/outrigger/meta/v1"
)

// Store is what is served.
type Store interface {
	ID() string
	Outside() uint64
	Notices() []string
	Check(ctx context.Context) error
	Get(ctx context.Context, keys []string, budget int) ([]*store.Item, error)
	List(ctx context.Context, prefix, startAfter string, limit, budget int) ([]*store.Item, bool, error)
	Count(ctx context.Context, prefix string) (uint64, error)
	Write(ctx context.Context, operations []store.Operation, notAfter time.Time) ([]string, error)
}

// Options of a server.
type Options struct {
	Version  string
	ReadOnly bool
	// TLS is nil for plain text.
	TLS *TLS
	// AllowedClients are names of which a client's certificate must have one; none: every client may call.
	AllowedClients []string
	Metrics        *Metrics
	Log            *slog.Logger
	Now            func() time.Time
}

const (
	// What calls under way may take once the process was told to stop.
	drainTime = 2 * time.Second
	// Watchers of health are told that it is over before their stream ends.
	watchersTime = 100 * time.Millisecond
	// Answers are up to 4 MiB each: what one connection can make the process hold has a limit.
	callsPerConnection = 256
	windowBytes        = 1 << 20
)

// Serve answers at listener until ctx is done, and drains then [process.drain.01].
func Serve(ctx context.Context, listener *Listener, st Store, options Options) error {
	identity := newIdentity(options.Version, st, options.Log)
	calls := &calls{
		storeID:    st.ID(),
		contract:   identity.contract,
		readOnly:   options.ReadOnly,
		allowed:    options.AllowedClients,
		now:        options.Now,
		log:        options.Log,
		metrics:    options.Metrics,
		endStreams: make(chan struct{}),
	}
	transport := insecure.NewCredentials()
	if options.TLS != nil {
		transport = options.TLS.Credentials()
		go options.TLS.Watch(ctx, options.Log)
	}
	server := grpc.NewServer(
		grpc.Creds(transport),
		grpc.MaxRecvMsgSize(rules.MessageBytes),
		grpc.MaxSendMsgSize(rules.MessageBytes),
		grpc.MaxConcurrentStreams(callsPerConnection),
		grpc.InitialWindowSize(windowBytes),
		grpc.InitialConnWindowSize(2*windowBytes),
		// Far more often than the contract asks [process.keepalive.01]: a ping costs nothing here.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 5 * time.Minute, Timeout: 20 * time.Second}),
		grpc.UnaryInterceptor(calls.unary),
		grpc.StreamInterceptor(calls.stream),
		grpc.UnknownServiceHandler(calls.unknown),
	)
	healthServer := health.NewServer()
	handshakev1.RegisterHandshakeServiceServer(server, identity)
	metav1.RegisterMetaServiceServer(server, &metaService{store: st})
	healthv1.RegisterHealthServer(server, healthServer)
	reflection.Register(server)
	healthServer.SetServingStatus(metav1.MetaService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	go watchHealth(ctx, healthServer, st, options.Log)

	drained := make(chan struct{})
	go func() {
		defer close(drained)
		<-ctx.Done()
		calls.draining.Store(true)
		healthServer.Shutdown()
		forced := time.AfterFunc(drainTime, server.Stop)
		defer forced.Stop()
		time.AfterFunc(watchersTime, func() { close(calls.endStreams) })
		server.GracefulStop()
	}()
	err := server.Serve(listener)
	if ctx.Err() == nil {
		return err
	}
	<-drained
	listener.Remove()
	return nil
}
