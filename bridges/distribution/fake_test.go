package outrigger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	blobv1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/blob/v1"
	handshakev1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/handshake/v1"
	metav1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/meta/v1"
)

const (
	fakeBlobID = "11111111-1111-4111-8111-111111111111"
	fakeMetaID = "22222222-2222-4222-8222-222222222222"
)

// fake is a driver in memory that does what a test asks of it wrongly, and everything else well enough for these tests.
type fake struct {
	blobv1.UnimplementedBlobServiceServer

	address string

	mu       sync.Mutex
	blobs    map[string][]byte
	uploads  map[string][]byte
	values   map[string]*metav1.Item
	etag     int
	calls    map[string]int
	metadata map[string]metadata.MD

	// What it says of itself.
	contract     string
	blobID       string
	metaID       string
	versions     []*handshakev1.ApiVersion
	capabilities []string
	step         int64
	clock        time.Duration

	// before is asked before a unary call has its effect, after behind it: an error is answered instead.
	before, after func(method string) error
	// onAppend is asked at each message of an Append; an error breaks the stream and takes with it what is not persisted.
	onAppend func(step string) error
	// lag is how many bytes progress leaves unpersisted.
	lag func(received int64) int64
	// onChunk is asked before each chunk of a Read; an error, or io.EOF for a silent end, breaks the stream.
	onChunk func(offset int64) error
}

func startFake(t *testing.T) *fake {
	t.Helper()
	folder, err := os.MkdirTemp("", "of-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	f := &fake{
		address:  "unix://" + filepath.Join(folder, "s"),
		blobs:    map[string][]byte{},
		uploads:  map[string][]byte{},
		values:   map[string]*metav1.Item{},
		calls:    map[string]int{},
		metadata: map[string]metadata.MD{},
		contract: "one",
		blobID:   fakeBlobID,
		metaID:   fakeMetaID,
		versions: []*handshakev1.ApiVersion{{Major: 1}},
		step:     1 << 20,
	}
	listener, err := net.Listen("unix", strings.TrimPrefix(f.address, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(f.unary), grpc.StreamInterceptor(f.stream))
	blobv1.RegisterBlobServiceServer(server, f)
	metav1.RegisterMetaServiceServer(server, metaFake{fake: f})
	handshakev1.RegisterHandshakeServiceServer(server, handshakeFake{fake: f})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return f
}

// connect gives a driver on the fake that loses patience soon.
func (f *fake) connect(t *testing.T, change ...func(*Config)) (*driver, error) {
	t.Helper()
	config, err := ParseConfig(map[string]any{"blobs": f.address, "connectwait": "3s"})
	if err != nil {
		t.Fatal(err)
	}
	config.CallTimeout, config.StreamTimeout, config.Resume = 2*time.Second, 400*time.Millisecond, 5*time.Second
	for _, one := range change {
		one(&config)
	}
	d, err := New(context.Background(), config)
	if err != nil {
		return nil, err
	}
	t.Cleanup(d.Close)
	return d.driver, nil
}

func (f *fake) connected(t *testing.T, change ...func(*Config)) *driver {
	t.Helper()
	d, err := f.connect(t, change...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func refusal(code codes.Code, reason string, pairs ...string) error {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: errorDomain, Metadata: map[string]string{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		info.Metadata[pairs[i]] = pairs[i+1]
	}
	detailed, err := status.New(code, "the fake says "+reason).WithDetails(info)
	if err != nil {
		panic(err)
	}
	return detailed.Err()
}

var errGone = status.Error(codes.Unavailable, "the fake was killed")

func (f *fake) answer() metadata.MD {
	f.mu.Lock()
	defer f.mu.Unlock()
	return metadata.Pairs(headerNow, strconv.FormatInt(time.Now().Add(f.clock).UnixMilli(), 10), headerContract, f.contract)
}

// called notes a call and refuses one for another store [call.store.01].
func (f *fake) called(ctx context.Context, method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[method]++
	received, _ := metadata.FromIncomingContext(ctx)
	f.metadata[method] = received
	wanted := map[string]string{"BlobService": f.blobID, "MetaService": f.metaID}
	for service, id := range wanted {
		if strings.Contains(method, service) && !slices.Equal(received.Get(headerStore), []string{id}) {
			return refusal(codes.FailedPrecondition, reasonWrongStore)
		}
	}
	return nil
}

func (f *fake) count(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	total := 0
	for name, count := range f.calls {
		if strings.HasSuffix(name, method) {
			total += count
		}
	}
	return total
}

func (f *fake) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	_ = grpc.SetHeader(ctx, f.answer())
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	if err := f.called(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	if f.before != nil {
		if err := f.before(method); err != nil {
			return nil, err
		}
	}
	response, err := handler(ctx, request)
	if err == nil && f.after != nil {
		err = f.after(method)
	}
	return response, err
}

func (f *fake) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	_ = stream.SetHeader(f.answer())
	if err := f.called(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return handler(server, stream)
}

type handshakeFake struct {
	handshakev1.UnimplementedHandshakeServiceServer
	*fake
}

func (f handshakeFake) apis() map[string]*handshakev1.ApiVersions {
	return map[string]*handshakev1.ApiVersions{blobKind.api: {Versions: f.versions}, metaKind.api: {Versions: f.versions}}
}

func (f handshakeFake) Version(context.Context, *handshakev1.VersionRequest) (*handshakev1.VersionResponse, error) {
	return &handshakev1.VersionResponse{Api: f.apis()}, nil
}

func (f handshakeFake) Describe(context.Context, *handshakev1.DescribeRequest) (*handshakev1.DescribeResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	limits := &handshakev1.Limits{PersistStepBytes: uint64(f.step)}
	return &handshakev1.DescribeResponse{Driver: "io.outrigger.test.fake", Version: "0", Apis: f.apis(), Stores: []*handshakev1.Store{
		{Kind: handshakev1.StoreKind_STORE_KIND_BLOB, Id: f.blobID, Limits: limits, Capabilities: f.capabilities},
		{Kind: handshakev1.StoreKind_STORE_KIND_META, Id: f.metaID},
	}}, nil
}

func (f *fake) info(key string) *blobv1.BlobInfo {
	data, there := f.blobs[key]
	if !there {
		return nil
	}
	sum := sha256.Sum256(data)
	return &blobv1.BlobInfo{Key: key, Size: uint64(len(data)), Etag: hex.EncodeToString(sum[:8]), ModifiedMs: 1}
}

func (f *fake) Stat(_ context.Context, request *blobv1.StatRequest) (*blobv1.StatResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	response := &blobv1.StatResponse{}
	for _, key := range request.GetKeys() {
		response.Results = append(response.Results, &blobv1.StatResult{Key: key, Info: f.info(key)})
	}
	return response, nil
}

func (f *fake) Put(_ context.Context, request *blobv1.PutRequest) (*blobv1.PutResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blobs[request.GetKey()] = request.GetData()
	return &blobv1.PutResponse{Info: f.info(request.GetKey())}, nil
}

func (f *fake) Delete(_ context.Context, request *blobv1.DeleteRequest) (*blobv1.DeleteResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	response := &blobv1.DeleteResponse{}
	for _, key := range request.GetKeys() {
		delete(f.blobs, key)
		response.Results = append(response.Results, &blobv1.DeleteResult{Key: key})
	}
	return response, nil
}

func page[Value any](values map[string]Value, prefix, startAfter string, limit uint32) ([]string, bool) {
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(values)), func(key string) bool {
		return !strings.HasPrefix(key, prefix) || key <= startAfter
	})
	if len(keys) > int(limit) {
		return keys[:limit], true
	}
	return keys, false
}

func (f *fake) List(_ context.Context, request *blobv1.ListRequest) (*blobv1.ListResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys, more := page(f.blobs, request.GetPrefix(), request.GetStartAfter(), request.GetLimit())
	response := &blobv1.ListResponse{More: more}
	for _, key := range keys {
		response.Items = append(response.Items, f.info(key))
	}
	return response, nil
}

func (f *fake) SignUrl(_ context.Context, request *blobv1.SignUrlRequest) (*blobv1.SignUrlResponse, error) {
	return &blobv1.SignUrlResponse{Url: fmt.Sprintf("https://example.com/%s?ttl=%d", request.GetKey(), request.GetTtlMs())}, nil
}

func (f *fake) GetUpload(_ context.Context, request *blobv1.GetUploadRequest) (*blobv1.GetUploadResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, there := f.uploads[request.GetUploadId()]
	if !there {
		return nil, refusal(codes.NotFound, reasonUploadNotFound)
	}
	return &blobv1.GetUploadResponse{Upload: &blobv1.UploadInfo{UploadId: request.GetUploadId(), Persisted: uint64(len(data))}}, nil
}

func (f *fake) AbortUpload(_ context.Context, request *blobv1.AbortUploadRequest) (*blobv1.AbortUploadResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.uploads, request.GetUploadId())
	return &blobv1.AbortUploadResponse{}, nil
}

func (f *fake) Move(request *blobv1.MoveRequest, stream blobv1.BlobService_MoveServer) error {
	f.mu.Lock()
	data, there := f.blobs[request.GetSource()]
	if there {
		delete(f.blobs, request.GetSource())
		f.blobs[request.GetDestination()] = data
	}
	info := f.info(request.GetDestination())
	f.mu.Unlock()
	if !there {
		return refusal(codes.NotFound, reasonKeyNotFound)
	}
	if f.after != nil {
		if err := f.after("Move"); err != nil {
			return err
		}
	}
	return stream.Send(&blobv1.MoveResponse{Step: &blobv1.MoveResponse_Info{Info: info}})
}

func (f *fake) Read(request *blobv1.ReadRequest, stream blobv1.BlobService_ReadServer) error {
	f.mu.Lock()
	info, data := f.info(request.GetKey()), f.blobs[request.GetKey()]
	f.mu.Unlock()
	offset := int64(request.GetOffset())
	switch {
	case info == nil:
		return refusal(codes.NotFound, reasonKeyNotFound)
	case offset > int64(len(data)):
		return refusal(codes.OutOfRange, reasonOffsetMismatch)
	case request.GetIfEtag() != "" && request.GetIfEtag() != info.GetEtag():
		return refusal(codes.Aborted, "ETAG_MISMATCH")
	}
	start := &blobv1.ReadStart{Info: info, Start: uint64(offset), Length: uint64(int64(len(data)) - offset)}
	if err := stream.Send(&blobv1.ReadResponse{Part: &blobv1.ReadResponse_Start{Start: start}}); err != nil {
		return err
	}
	for offset < int64(len(data)) {
		if f.onChunk != nil {
			if err := f.onChunk(offset); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
		next := data[offset:min(offset+1000, int64(len(data)))]
		chunk := &blobv1.ReadChunk{Offset: uint64(offset), Data: next}
		if err := stream.Send(&blobv1.ReadResponse{Part: &blobv1.ReadResponse_Chunk{Chunk: chunk}}); err != nil {
			return err
		}
		offset += int64(len(next))
	}
	return nil
}

func (f *fake) at(step string) error {
	if f.onAppend == nil {
		return nil
	}
	return f.onAppend(step)
}

func (f *fake) Append(stream blobv1.BlobService_AppendServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	open := first.GetOpen()
	if err := f.at("open"); err != nil {
		return err
	}
	f.mu.Lock()
	persisted, there := f.uploads[open.GetUploadId()]
	if !there && open.GetCreate() {
		persisted, there = []byte{}, true
		f.uploads[open.GetUploadId()] = persisted
	}
	f.mu.Unlock()
	if !there {
		return refusal(codes.NotFound, reasonUploadNotFound)
	}
	received := slices.Clone(persisted)
	keep := func(length int64) int64 {
		f.mu.Lock()
		defer f.mu.Unlock()
		if length > int64(len(f.uploads[open.GetUploadId()])) {
			f.uploads[open.GetUploadId()] = slices.Clone(received[:length])
		}
		return int64(len(f.uploads[open.GetUploadId()]))
	}
	progress := func(length int64) error {
		told := &blobv1.Progress{Received: uint64(len(received)), Persisted: uint64(keep(length))}
		return stream.Send(&blobv1.AppendResponse{Step: &blobv1.AppendResponse_Progress{Progress: told}})
	}
	opened := &blobv1.Opened{Persisted: uint64(len(persisted)), Fence: 1}
	if err := stream.Send(&blobv1.AppendResponse{Step: &blobv1.AppendResponse_Opened{Opened: opened}}); err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			if err := f.at("close"); err != nil {
				return err
			}
			return progress(int64(len(received)))
		}
		if err != nil {
			return err
		}
		switch step := message.GetStep().(type) {
		case *blobv1.AppendRequest_Chunk:
			if step.Chunk.Offset == nil || step.Chunk.GetOffset() > uint64(len(received)) {
				return refusal(codes.OutOfRange, reasonOffsetMismatch)
			}
			skip := uint64(len(received)) - step.Chunk.GetOffset()
			received = append(received, step.Chunk.GetData()[min(skip, uint64(len(step.Chunk.GetData()))):]...)
			if err := f.at("chunk"); err != nil {
				return err
			}
			lag := int64(0)
			if f.lag != nil {
				lag = f.lag(int64(len(received)))
			}
			if err := progress(int64(len(received)) - lag); err != nil {
				return err
			}
		case *blobv1.AppendRequest_Flush:
			if err := f.at("flush"); err != nil {
				return err
			}
			if err := progress(int64(len(received))); err != nil {
				return err
			}
		case *blobv1.AppendRequest_Commit:
			if err := f.at("commit"); err != nil {
				return err
			}
			sum := sha256.Sum256(received)
			digest := "sha256:" + hex.EncodeToString(sum[:])
			if asked := step.Commit.GetDigest(); asked != "" && asked != digest {
				return refusal(codes.FailedPrecondition, "DIGEST_MISMATCH")
			}
			if step.Commit.GetSize() != uint64(len(received)) {
				return refusal(codes.FailedPrecondition, "SIZE_MISMATCH")
			}
			f.mu.Lock()
			delete(f.uploads, open.GetUploadId())
			f.blobs[step.Commit.GetKey()] = received
			info := f.info(step.Commit.GetKey())
			f.mu.Unlock()
			if err := f.at("committed"); err != nil {
				return err
			}
			return stream.Send(&blobv1.AppendResponse{Step: &blobv1.AppendResponse_Committed{Committed: &blobv1.Committed{Info: info, Digest: digest}}})
		}
	}
}

type metaFake struct {
	metav1.UnimplementedMetaServiceServer
	*fake
}

func (f metaFake) Get(_ context.Context, request *metav1.GetRequest) (*metav1.GetResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	response := &metav1.GetResponse{}
	for _, key := range request.GetKeys() {
		response.Results = append(response.Results, &metav1.GetResult{Key: key, Item: f.values[key]})
	}
	return response, nil
}

func (f metaFake) List(_ context.Context, request *metav1.ListRequest) (*metav1.ListResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys, more := page(f.values, request.GetPrefix(), request.GetStartAfter(), request.GetLimit())
	response := &metav1.ListResponse{More: more}
	for _, key := range keys {
		response.Items = append(response.Items, f.values[key])
	}
	return response, nil
}

func (f metaFake) Write(_ context.Context, request *metav1.WriteRequest) (*metav1.WriteResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for index, operation := range request.GetOperations() {
		item := f.values[operation.GetKey()]
		holds := true
		switch condition := operation.GetCondition().(type) {
		case *metav1.Operation_IfAbsent:
			holds = item == nil
		case *metav1.Operation_IfPresent:
			holds = item != nil
		case *metav1.Operation_IfEtag:
			holds = item != nil && item.GetEtag() == condition.IfEtag
		}
		if !holds {
			return nil, refusal(codes.Aborted, reasonConditionFailed, "index", strconv.Itoa(index))
		}
	}
	response := &metav1.WriteResponse{}
	for _, operation := range request.GetOperations() {
		result := &metav1.WriteResult{Key: operation.GetKey()}
		switch action := operation.GetAction().(type) {
		case *metav1.Operation_Put:
			f.put(operation.GetKey(), action.Put)
			result.Etag = f.values[operation.GetKey()].GetEtag()
		case *metav1.Operation_Delete:
			delete(f.values, operation.GetKey())
		}
		response.Results = append(response.Results, result)
	}
	return response, nil
}

// put is for whoever holds the lock.
func (f *fake) put(key string, value []byte) {
	f.etag++
	f.values[key] = &metav1.Item{Key: key, Value: value, Etag: strconv.Itoa(f.etag)}
}

// seeded gives random choices that can be made again.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("OUTRIGGER_TEST_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("seed %d: repeat with OUTRIGGER_TEST_SEED=%d", seed, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func randomBytes(random *rand.Rand, length int) []byte {
	data := make([]byte, length)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}
