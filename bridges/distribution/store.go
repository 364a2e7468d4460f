package outrigger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// Metadata of the process contract.
const (
	headerStore    = "outrigger-store"
	headerNotAfter = "outrigger-not-after"
	headerNow      = "outrigger-now"
	headerContract = "outrigger-contract"
	headerRequest  = "outrigger-request-id"

	// Under which distribution keeps its id of a request.
	requestIDKey = "http.request.id"
)

const (
	firstPause = 100 * time.Millisecond
	mostPause  = 2 * time.Second
	// Replicas of one address run few releases; a driver that makes hashes up must not fill the memory.
	mostContracts = 64
	// A driver whose hash changes with each answer must not be described without end.
	describeAtMostEvery = time.Second
)

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// facts are what a driver says of one store.
type facts struct {
	id           string
	driver       string
	capabilities []string
	persistStep  int64
	maxValue     int
}

func (f *facts) can(capability string) bool { return slices.Contains(f.capabilities, capability) }

// store is one connected store: every call to it carries its id, has a deadline, and is repeated while the driver is
// away, as far as that is safe.
type store struct {
	kind    storeKind
	address string
	config  *Config
	// The configuration names the store's id.
	pinned bool
	log    *logrus.Entry
	// Unary calls, and a connection for bulk bytes in each direction: some HTTP/2 servers do not read while they write.
	calls, reads, appends *grpc.ClientConn

	mu sync.Mutex
	// Nil until the first Describe.
	facts          *facts
	contracts      map[string]bool
	describeWanted bool
	describedAt    time.Time
	refusal        error
	describing     sync.Mutex
}

// dial makes the connections; nothing is sent yet.
func dial(kind storeKind, address, pinnedID string, config *Config) (*store, error) {
	s := &store{
		kind:           kind,
		address:        address,
		config:         config,
		pinned:         pinnedID != "",
		log:            logrus.WithFields(logrus.Fields{"driver": driverName, "store": kind.name, "address": address}),
		contracts:      map[string]bool{},
		describeWanted: true,
	}
	if pinnedID != "" {
		s.facts = &facts{id: strings.ToLower(pinnedID)}
	}
	security := insecure.NewCredentials()
	if config.TLS != nil && !strings.HasPrefix(address, "unix:") {
		security = credentials.NewTLS(config.TLS)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(security),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// What is repeated, and when, is decided here.
		grpc.WithDisableRetry(),
		// A proxy of the environment is for the outside world.
		grpc.WithNoProxy(),
		grpc.WithIdleTimeout(0),
		// As seldom as every driver allows [process.keepalive.01]; the timeout is also how long bytes that were sent may
		// stay unacknowledged by the peer's machine before the connection counts as dead.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 5 * time.Minute, Timeout: 20 * time.Second}),
		grpc.WithInitialWindowSize(1 << 20),
		grpc.WithInitialConnWindowSize(4 << 20),
		grpc.WithUserAgent("outrigger-distribution"),
		grpc.WithUnaryInterceptor(s.observeUnary),
	}
	for _, connection := range []**grpc.ClientConn{&s.calls, &s.reads, &s.appends} {
		made, err := grpc.NewClient(address, options...)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("%s: %w", address, err)
		}
		*connection = made
	}
	return s, nil
}

func (s *store) close() {
	for _, connection := range []*grpc.ClientConn{s.calls, s.reads, s.appends} {
		if connection != nil {
			_ = connection.Close() // nothing is left to be told
		}
	}
}

// known gives what was said of the store; only after connect.
func (s *store) known() *facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.facts
}

// outgoing adds what every call carries. A zero notAfter: the call changes nothing, or carries it in its messages.
func (s *store) outgoing(ctx context.Context, notAfter time.Time) context.Context {
	pairs := []string{headerStore, s.known().id}
	if !notAfter.IsZero() {
		pairs = append(pairs, headerNotAfter, strconv.FormatInt(notAfter.UnixMilli(), 10))
	}
	if id, ok := ctx.Value(requestIDKey).(string); ok && requestIDPattern.MatchString(id) {
		pairs = append(pairs, headerRequest, id)
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// observeUnary notices a contract that was never described.
func (s *store) observeUnary(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	var header, trailer metadata.MD
	err := invoke(ctx, method, request, reply, connection, append(options, grpc.Header(&header), grpc.Trailer(&trailer))...)
	s.observe(header, trailer)
	return err
}

func (s *store) observe(answers ...metadata.MD) {
	for _, answer := range answers {
		if contract := answer.Get(headerContract); len(contract) > 0 {
			s.mu.Lock()
			if !s.contracts[contract[0]] {
				s.describeWanted = true
			}
			s.mu.Unlock()
			return
		}
	}
}

// usable answers why the store cannot be used now. After an answer under an unknown contract it asks the driver anew who
// it is; while the driver is away what was known is good enough, since every call names the store it is for.
func (s *store) usable(ctx context.Context) error {
	s.mu.Lock()
	wanted := s.describeWanted && time.Since(s.describedAt) >= describeAtMostEvery
	s.mu.Unlock()
	if wanted {
		if err := s.describe(ctx); err != nil && !isPassing(err) && ctx.Err() == nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal
}

// callOptions tell how a unary call is made.
type callOptions struct {
	// One attempt's time; zero: Config.CallTimeout.
	timeout time.Duration
	// The call changes something and carries not-after.
	mutates bool
	// No second attempt: whoever calls finds out what became of the first.
	once bool
}

// waitForReady lets a call wait, within its time, for a driver that is just coming back.
var waitForReady = grpc.WaitForReady(true)

type unary[Request, Response any] func(context.Context, *Request, ...grpc.CallOption) (*Response, error)

// call makes a unary call, again while the driver is away, for as long as Config.Resume.
func call[Request, Response any](
	ctx context.Context, s *store, options callOptions, method unary[Request, Response], request *Request,
) (*Response, error) {
	timeout := options.timeout
	if timeout == 0 {
		timeout = s.config.CallTimeout
	}
	patience := s.patience()
	for {
		if err := s.usable(ctx); err != nil {
			return nil, err
		}
		response, err := attempt(ctx, s, min(timeout, patience.left()), options.mutates, method, request)
		if err == nil {
			return response, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if reasonOf(err) == reasonWrongStore {
			s.wantDescribe()
		}
		if options.once || !isPassing(err) {
			return nil, err
		}
		if err := patience.pause(ctx, err); err != nil {
			return nil, err
		}
	}
}

func attempt[Request, Response any](
	ctx context.Context, s *store, timeout time.Duration, mutates bool, method unary[Request, Response], request *Request,
) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var notAfter time.Time
	if mutates {
		notAfter = time.Now().Add(timeout)
	}
	response, err := method(s.outgoing(ctx, notAfter), request, waitForReady)
	return response, asDriverError(err)
}

func (s *store) wantDescribe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.describeWanted = true
}

// patience is how long the driver may stay away: what counts is the time between a failure and the next answer.
type patience struct {
	store *store
	// Zero: the driver is there.
	since    time.Time
	spent    time.Duration
	failures int
}

func (s *store) patience() *patience { return &patience{store: s} }

func (p *patience) left() time.Duration {
	left := p.store.config.Resume - p.spent
	if !p.since.IsZero() {
		left -= time.Since(p.since)
	}
	return max(0, left)
}

// found stops counting: the driver answered.
func (p *patience) found(at time.Time) {
	if !p.since.IsZero() {
		p.spent += at.Sub(p.since)
		p.since = time.Time{}
	}
}

// restored forgets what was spent: something was achieved since.
func (p *patience) restored() { p.since, p.spent, p.failures = time.Time{}, 0, 0 }

// pause waits before the next attempt. It answers an error when there is to be none.
func (p *patience) pause(ctx context.Context, failure error) error {
	if p.since.IsZero() {
		p.since = time.Now()
	}
	wait := min(mostPause, firstPause<<min(p.failures, 10))
	wait = wait/2 + rand.N(wait/2)
	var said *driverError
	if errors.As(failure, &said) {
		wait = max(wait, said.retryAfter)
	}
	p.failures++
	if left := p.left(); wait >= left {
		return fmt.Errorf("the %s store at %s stayed away for %s: %w", p.store.kind.name, p.store.address, p.store.config.Resume, failure)
	}
	return sleep(ctx, wait)
}
