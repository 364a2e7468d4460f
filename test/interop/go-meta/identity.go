package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	handshakev1 "outrigger.test/go-meta/gen/outrigger/handshake/v1"
	metav1 "outrigger.test/go-meta/gen/outrigger/meta/v1"
)

const (
	headerStore    = "outrigger-store"
	headerNotAfter = "outrigger-not-after"
	headerNow      = "outrigger-now"
	headerContract = "outrigger-contract"
)

// identity answers the handshake: the same for as long as the process lives [handshake.describe.01].
type identity struct {
	handshakev1.UnimplementedHandshakeServiceServer
	description *handshakev1.DescribeResponse
	contract    string
}

func newIdentity(storeID string, major, minor uint32) *identity {
	description := &handshakev1.DescribeResponse{
		Driver:  "io.outrigger.test.go-meta",
		Version: "0.1.0",
		Apis: map[string]*handshakev1.ApiVersions{
			"outrigger.meta": {Versions: []*handshakev1.ApiVersion{{Major: major, Minor: minor}}},
		},
		Stores: []*handshakev1.Store{{
			Kind:   handshakev1.StoreKind_STORE_KIND_META,
			Id:     storeID,
			Limits: &handshakev1.Limits{MaxValueBytes: maxValueBytes},
		}},
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(description)
	if err != nil {
		panic(err) // a message made of constants
	}
	sum := sha256.Sum256(encoded)
	return &identity{description: description, contract: hex.EncodeToString(sum[:16])}
}

func (i *identity) Version(context.Context, *handshakev1.VersionRequest) (*handshakev1.VersionResponse, error) {
	return &handshakev1.VersionResponse{Api: i.description.Apis}, nil
}

func (i *identity) Describe(context.Context, *handshakev1.DescribeRequest) (*handshakev1.DescribeResponse, error) {
	return i.description, nil
}

// callRules are the rules that hold for every call, whatever it asks.
type callRules struct {
	identity *identity
	readOnly bool
	now      func() time.Time
}

func (r callRules) unary(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	answer := metadata.Pairs(
		headerNow, strconv.FormatInt(r.now().UnixMilli(), 10),
		headerContract, r.identity.contract,
	)
	if err := grpc.SetHeader(ctx, answer); err != nil {
		return nil, err
	}
	if strings.HasPrefix(info.FullMethod, "/"+metav1.MetaService_ServiceDesc.ServiceName+"/") {
		if err := r.checkStore(ctx); err != nil {
			return nil, err
		}
	}
	if info.FullMethod == metav1.MetaService_Write_FullMethodName && r.readOnly {
		return nil, refusal(codes.FailedPrecondition, "READ_ONLY", nil, "this store is sealed: its driver was started with --read-only")
	}
	return handler(ctx, request)
}

func (r callRules) checkStore(ctx context.Context) error {
	ours := r.identity.description.Stores[0].Id
	switch asked := firstValue(ctx, headerStore); asked {
	case ours:
		return nil
	case "":
		return invalidField(headerStore, "the request names no store; this one is %s", ours)
	default:
		return refusal(codes.FailedPrecondition, "WRONG_STORE", nil, "this driver holds store %s, not %s", ours, asked)
	}
}

func firstValue(ctx context.Context, name string) string {
	if values := metadata.ValueFromIncomingContext(ctx, name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// assertInTime refuses a mutating call past its outrigger-not-after [call.notafter.01].
func assertInTime(ctx context.Context, now time.Time) error {
	text := firstValue(ctx, headerNotAfter)
	if text == "" {
		return nil
	}
	notAfter, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return invalidField(headerNotAfter, "%q is not a time in unix ms", text)
	}
	if late := now.UnixMilli() - notAfter; late > 0 {
		return refusal(codes.DeadlineExceeded, "TOO_LATE", nil, "the call is %d ms past its outrigger-not-after", late)
	}
	return nil
}

func newUUID() string {
	b := randomBytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err) // no randomness, no ids
	}
	return b
}
