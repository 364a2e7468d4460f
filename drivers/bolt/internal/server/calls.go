package server

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/fault"

	metav1 "github.com/outrigger-registry/outrigger/drivers/bolt/internal/gen/outrigger/meta/v1"
)

// Metadata of the process contract.
const (
	headerStore     = "outrigger-store"
	headerNotAfter  = "outrigger-not-after"
	headerNow       = "outrigger-now"
	headerContract  = "outrigger-contract"
	headerRequestID = "outrigger-request-id"
)

var metaPrefix = "/" + metav1.MetaService_ServiceDesc.ServiceName + "/"

// calls holds what every call owes and is owed, whatever it asks.
type calls struct {
	storeID  string
	contract string
	readOnly bool
	// Names of which a client's certificate must have one; empty: every client may call.
	allowed  []string
	now      func() time.Time
	log      *slog.Logger
	metrics  *Metrics
	draining atomic.Bool
	// Closed when streams have to end.
	endStreams chan struct{}
}

func (c *calls) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	end := c.metrics.begin(info.FullMethod)
	defer func() { end(status.Code(err)) }()
	defer c.recoverPanic(ctx, info.FullMethod, &err)
	if err := grpc.SetHeader(ctx, c.answerMetadata()); err != nil {
		return nil, err
	}
	if err := c.admit(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	answer, err = handler(ctx, request)
	if err != nil {
		return nil, c.asFault(ctx, info.FullMethod, err)
	}
	return answer, nil
}

func (c *calls) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	end := c.metrics.begin(info.FullMethod)
	defer func() { end(status.Code(err)) }()
	defer c.recoverPanic(stream.Context(), info.FullMethod, &err)
	if err := stream.SetHeader(c.answerMetadata()); err != nil {
		return err
	}
	if err := c.admit(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		select {
		case <-c.endStreams:
			cancel()
		case <-ctx.Done():
		}
	}()
	err = handler(server, endingStream{stream, ctx})
	if err != nil && c.draining.Load() {
		return errDraining()
	}
	return err
}

// endingStream is a stream whose handler is told when the driver drains.
type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s endingStream) Context() context.Context { return s.ctx }

func (c *calls) answerMetadata() metadata.MD {
	return metadata.Pairs(
		headerNow, strconv.FormatInt(c.now().UnixMilli(), 10),
		headerContract, c.contract,
	)
}

// admit refuses a call before any effect and before any field is looked at.
func (c *calls) admit(ctx context.Context, method string) error {
	if c.draining.Load() {
		return errDraining()
	}
	if err := c.checkClient(ctx); err != nil {
		return err
	}
	if !strings.HasPrefix(method, metaPrefix) {
		return nil
	}
	if err := c.checkStore(ctx); err != nil {
		return err
	}
	if method != metav1.MetaService_Write_FullMethodName {
		return nil
	}
	if c.readOnly {
		return fault.New(fault.ReadOnly, "this store is sealed: its driver was started with --read-only")
	}
	notAfter, err := notAfterOf(ctx)
	if err == nil && !notAfter.IsZero() && c.now().After(notAfter) {
		err = fault.New(fault.TooLate, "the call arrived %d ms past its outrigger-not-after", c.now().Sub(notAfter).Milliseconds())
	}
	return err
}

// checkStore refuses a call that is meant for another store, or for none [call.store.01].
func (c *calls) checkStore(ctx context.Context) error {
	switch asked := headerOf(ctx, headerStore); asked {
	case c.storeID:
		return nil
	case "":
		return fault.Field(headerStore, "the request names no store; this driver holds %s", c.storeID)
	default:
		return fault.New(fault.WrongStore, "this driver holds store %s, not the one asked for", c.storeID).With("store", c.storeID)
	}
}

// checkClient holds --tls-allow-client.
func (c *calls) checkClient(ctx context.Context) error {
	if len(c.allowed) == 0 {
		return nil
	}
	if from, ok := peer.FromContext(ctx); ok {
		if tls, ok := from.AuthInfo.(credentials.TLSInfo); ok && len(tls.State.VerifiedChains) > 0 {
			names := namesOf(tls.State.PeerCertificates[0])
			if slices.ContainsFunc(names, func(name string) bool { return slices.Contains(c.allowed, name) }) {
				return nil
			}
		}
	}
	return fault.New(fault.NotAllowed, "the client's certificate has none of the names that this driver allows")
}

// namesOf gives the common name, and the DNS, URI and e-mail subject names.
func namesOf(certificate *x509.Certificate) []string {
	names := []string{certificate.Subject.CommonName}
	names = append(names, certificate.DNSNames...)
	names = append(names, certificate.EmailAddresses...)
	for _, uri := range certificate.URIs {
		names = append(names, uri.String())
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// notAfterOf reads outrigger-not-after; zero where there is none [call.notafter.01].
func notAfterOf(ctx context.Context) (time.Time, error) {
	values := metadata.ValueFromIncomingContext(ctx, headerNotAfter)
	if len(values) == 0 {
		return time.Time{}, nil
	}
	const most = 1<<53 - 1 // what every language reads exactly
	unixMs, err := strconv.ParseUint(values[0], 10, 64)
	if err != nil || unixMs > most {
		return time.Time{}, fault.Field(headerNotAfter, "%.50q is not a time in unix ms", values[0])
	}
	return time.UnixMilli(int64(unixMs)), nil
}

func headerOf(ctx context.Context, name string) string {
	if values := metadata.ValueFromIncomingContext(ctx, name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// asFault is what an error becomes on the wire. A cause does not cross it: it is logged here, once.
func (c *calls) asFault(ctx context.Context, method string, err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		if known.Cause != nil {
			c.log.Error(known.Message, "method", method, "requestId", headerOf(ctx, headerRequestID), "err", known.Cause)
		} else {
			c.log.Debug("refused", "method", method, "requestId", headerOf(ctx, headerRequestID), "reason", string(known.Reason), "err", known.Message)
		}
		return known
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	if answer, ok := status.FromError(err); ok && answer.Code() != codes.Unknown {
		return err // the library's own
	}
	c.log.Error("a call failed", "method", method, "requestId", headerOf(ctx, headerRequestID), "err", err)
	return fault.New(fault.Internal, "%s: the driver met a fault of its own; its log has the cause", method)
}

func (c *calls) recoverPanic(ctx context.Context, method string, err *error) {
	if met := recover(); met != nil {
		c.log.Error("a call panicked", "method", method, "requestId", headerOf(ctx, headerRequestID), "panic", met,
			"stack", string(debug.Stack()))
		*err = fault.New(fault.Internal, "%s: the driver met a fault of its own; its log has the cause", method)
	}
}

// unknown answers calls of services and methods that are not served here.
func (c *calls) unknown(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return fault.New(fault.CapabilityMissing, "this driver does not serve %s", strings.TrimPrefix(method, "/"))
}

func errDraining() error {
	return fault.New(fault.Draining, "the driver is about to stop").After(100 * time.Millisecond)
}
