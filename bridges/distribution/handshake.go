package outrigger

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	handshakev1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/handshake/v1"
)

// storeKind is one of the two APIs and the version of it that is spoken here.
type storeKind struct {
	name  string
	api   string
	wire  handshakev1.StoreKind
	major uint32
	minor uint32
}

var (
	blobKind = storeKind{"blob", "outrigger.blob", handshakev1.StoreKind_STORE_KIND_BLOB, 1, 0}
	metaKind = storeKind{"meta", "outrigger.meta", handshakev1.StoreKind_STORE_KIND_META, 1, 0}
)

const (
	coreName    = "outrigger-distribution"
	coreVersion = "0.1.0"

	mostClockSkew = 2 * time.Second
	waitLineEvery = 10 * time.Second

	capabilitySignURL = "SIGN_URL"

	defaultPersistStep = 32 << 20
	maxValueBytes      = 256 << 10
)

// refusedError says why a driver is not used. Waiting does not help: somebody has to change something.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return e.text }

func refused(format string, args ...any) error { return &refusedError{fmt.Sprintf(format, args...)} }

// connect describes the store, waiting for a driver that does not answer yet with a line every 10 s.
func (s *store) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.ConnectWait,
		fmt.Errorf("no Outrigger driver answered at %s for %s (storage.outrigger.connectwait)", s.address, s.config.ConnectWait))
	defer cancel()
	var told time.Time
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := s.describe(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !isPassing(err):
			return err
		}
		if time.Since(told) >= waitLineEvery {
			told = time.Now()
			s.log.Warnf("waiting for the %s store at %s: %v", s.kind.name, s.address, err)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// describe asks who answers at the address and keeps what was said. A refusal lasts until the next describe.
func (s *store) describe(ctx context.Context) error {
	s.describing.Lock()
	defer s.describing.Unlock()
	s.mu.Lock()
	if !s.describeWanted {
		// Somebody else has done it meanwhile.
		defer s.mu.Unlock()
		return s.refusal
	}
	s.describeWanted, s.describedAt = false, time.Now()
	before := s.facts
	s.mu.Unlock()

	said, contract, err := s.ask(ctx, before)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.describeWanted = true
		if !isPassing(err) && ctx.Err() == nil {
			s.refusal = err
			s.log.Errorf("%v", err)
		}
		return err
	}
	if len(s.contracts) >= mostContracts {
		clear(s.contracts)
	}
	s.contracts[contract] = true
	s.facts, s.refusal = said, nil
	return nil
}

// ask does the handshake: versions first, then the store.
func (s *store) ask(ctx context.Context, before *facts) (*facts, string, error) {
	client := handshakev1.NewHandshakeServiceClient(s.calls)
	versions, _, err := greet(ctx, s, client.Version, &handshakev1.VersionRequest{})
	if err != nil {
		return nil, "", err
	}
	if err := s.agree(versions.GetApi()[s.kind.api]); err != nil {
		return nil, "", err
	}
	described, answer, err := greet(ctx, s, client.Describe, &handshakev1.DescribeRequest{
		CoreName:    coreName,
		CoreVersion: coreVersion,
		Apis:        map[string]*handshakev1.ApiVersion{s.kind.api: {Major: s.kind.major, Minor: s.kind.minor}},
	})
	if err != nil {
		return nil, "", err
	}
	if before == nil || before.driver == "" {
		for _, notice := range described.GetNotices() {
			s.log.Warnf("the driver at %s says: %s", s.address, notice)
		}
	}
	said, err := s.read(described)
	if err != nil {
		return nil, "", err
	}
	if before != nil && !strings.EqualFold(before.id, said.id) {
		instead := "start the registry again to use this one"
		if s.pinned {
			instead = fmt.Sprintf("change storage.outrigger.%sid", map[string]string{blobKind.name: "blobs", metaKind.name: "meta"}[s.kind.name])
		}
		return nil, "", refused("the %s store at %s is %s, not %s: give the address of the right one, or %s",
			s.kind.name, s.address, said.id, before.id, instead)
	}
	if before == nil || before.driver == "" {
		s.log.Infof("the %s store at %s is %s, kept by %s %s", s.kind.name, s.address, said.id, described.GetDriver(), described.GetVersion())
	}
	return said, answer, nil
}

// greet makes one of the two calls, with what every answer must carry.
func greet[Request, Response any](
	ctx context.Context, s *store, method unary[Request, Response], request *Request,
) (*Response, string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.CallTimeout)
	defer cancel()
	var header, trailer metadata.MD
	sent := time.Now()
	response, err := method(ctx, request, grpc.Header(&header), grpc.Trailer(&trailer))
	received := time.Now()
	if err != nil {
		failure := asDriverError(err)
		if said, ok := failure.(*driverError); ok && said.isForeign() {
			return nil, "", refused("what answers at %s is not an Outrigger driver: %s", s.address, said.message)
		} else if ok && said.isUntrusted() {
			return nil, "", refused("TLS with the driver at %s fails, see storage.outrigger.tls: %s", s.address, said.message)
		}
		return nil, "", failure
	}
	answer := metadata.Join(header, trailer)
	contract, now := answer.Get(headerContract), answer.Get(headerNow)
	if len(contract) == 0 || contract[0] == "" {
		return nil, "", refused("the driver at %s breaks [call.contract.01]: it answers without %s", s.address, headerContract)
	}
	if len(now) == 0 {
		return nil, "", refused("the driver at %s breaks [call.now.01]: it answers without %s", s.address, headerNow)
	}
	stamp, err := strconv.ParseInt(now[0], 10, 64)
	if err != nil {
		return nil, "", refused("the driver at %s breaks [call.now.01]: %s is %q", s.address, headerNow, now[0])
	}
	if skew := clockSkew(time.UnixMilli(stamp), sent, received); skew.Abs() > mostClockSkew {
		return nil, "", refused("the clock of the driver at %s is %s off this one: set both by NTP (at most %s are allowed)",
			s.address, skew.Round(100*time.Millisecond), mostClockSkew)
	}
	return response, contract[0], nil
}

// clockSkew is how far a stamp lies outside of when it must have been made.
func clockSkew(stamp, sent, received time.Time) time.Duration {
	switch {
	case stamp.Before(sent.Truncate(time.Millisecond)):
		return stamp.Sub(sent)
	case stamp.After(received):
		return stamp.Sub(received)
	}
	return 0
}

// agree holds the driver's versions against the one that is spoken here: the same major, and no older minor.
func (s *store) agree(listed *handshakev1.ApiVersions) error {
	ours := fmt.Sprintf("%s %d.%d", s.kind.api, s.kind.major, s.kind.minor)
	var spoken []string
	var match *handshakev1.ApiVersion
	for _, version := range listed.GetVersions() {
		spoken = append(spoken, fmt.Sprintf("%d.%d", version.GetMajor(), version.GetMinor()))
		if version.GetMajor() == s.kind.major {
			match = version
		}
	}
	switch {
	case len(spoken) == 0:
		return refused("the driver at %s does not speak %s: give the address of a driver that speaks %s", s.address, s.kind.api, ours)
	case match == nil || match.GetMinor() < s.kind.minor:
		return refused("the driver at %s speaks %s %s: use a release that speaks %s or a later minor",
			s.address, s.kind.api, strings.Join(spoken, " and "), ours)
	case len(spoken) > 1 || match.GetMinor() > s.kind.minor:
		s.log.Infof("the driver at %s speaks %s %s; %s is used", s.address, s.kind.api, strings.Join(spoken, " and "), ours)
	}
	return nil
}

// read takes from a description what it says of this store.
func (s *store) read(described *handshakev1.DescribeResponse) (*facts, error) {
	stores := slices.DeleteFunc(slices.Clone(described.GetStores()), func(one *handshakev1.Store) bool {
		return one.GetKind() != s.kind.wire
	})
	if len(stores) != 1 {
		return nil, refused("the driver at %s breaks [handshake.describe.02]: it describes %d %s stores", s.address, len(stores), s.kind.name)
	}
	told := stores[0]
	if !uuidPattern.MatchString(told.GetId()) {
		return nil, refused("the driver at %s breaks [handshake.describe.04]: its %s store has the id %q", s.address, s.kind.name, told.GetId())
	}
	result := &facts{
		id:           told.GetId(),
		driver:       described.GetDriver(),
		capabilities: told.GetCapabilities(),
		persistStep:  defaultPersistStep,
		maxValue:     maxValueBytes,
	}
	if step := told.GetLimits().GetPersistStepBytes(); step > 0 && step < 1<<40 {
		result.persistStep = int64(step)
	}
	return result, nil
}
