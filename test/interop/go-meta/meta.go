package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	metav1 "outrigger.test/go-meta/gen/outrigger/meta/v1"
)

const (
	maxGetKeys    = 100
	maxOperations = 100
	maxListItems  = 1000
	maxKeyBytes   = 1024
	maxBoundBytes = 2048
	maxValueBytes = 256 << 10
	maxWriteBytes = 7 << 19 // 3.5 MiB
	// An answer stops here: room for the message around the items [call.size.01].
	maxAnswerBytes = maxMessageBytes - (64 << 10)
)

type entry struct {
	value []byte
	etag  string
}

// metaService is the store: a map, and its keys in order. One lock makes every Get and Write one moment.
type metaService struct {
	metav1.UnimplementedMetaServiceServer
	now func() time.Time
	// Random per process, so that no etag of an earlier life comes again [meta.etag.01].
	life string

	mu      sync.RWMutex
	entries map[string]entry
	keys    []string
	puts    uint64
}

func newMetaService(now func() time.Time) *metaService {
	return &metaService{now: now, life: hex.EncodeToString(randomBytes(16)), entries: map[string]entry{}}
}

func (s *metaService) Get(_ context.Context, request *metav1.GetRequest) (*metav1.GetResponse, error) {
	if len(request.Keys) > maxGetKeys {
		return nil, invalidField("keys", "%d keys asked, at most %d are allowed", len(request.Keys), maxGetKeys)
	}
	for _, key := range request.Keys {
		if err := checkKey(key); err != nil {
			return nil, err
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	response := &metav1.GetResponse{}
	size := 0
	for index, key := range request.Keys {
		result := &metav1.GetResult{Key: key}
		if found, ok := s.entries[key]; ok {
			result.Item = &metav1.Item{Key: key, Value: found.value, Etag: found.etag}
		}
		size += proto.Size(result) + len(key) + 16
		if index > 0 && size > maxAnswerBytes {
			response.Unread = request.Keys[index:]
			break
		}
		response.Results = append(response.Results, result)
	}
	return response, nil
}

func (s *metaService) List(_ context.Context, request *metav1.ListRequest) (*metav1.ListResponse, error) {
	if err := checkBounds(request.Prefix, request.StartAfter); err != nil {
		return nil, err
	}
	limit := int(request.Limit)
	if limit == 0 {
		limit = maxListItems
	}
	if limit > maxListItems {
		return nil, invalidField("limit", "%d is more than %d", limit, maxListItems)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	response := &metav1.ListResponse{}
	size := 0
	for _, key := range s.under(request.Prefix, request.StartAfter) {
		item := &metav1.Item{Key: key, Value: s.entries[key].value, Etag: s.entries[key].etag}
		size += proto.Size(item) + 16
		if len(response.Items) == limit || (len(response.Items) > 0 && size > maxAnswerBytes) {
			response.More = true
			break
		}
		response.Items = append(response.Items, item)
	}
	return response, nil
}

func (s *metaService) Count(_ context.Context, request *metav1.CountRequest) (*metav1.CountResponse, error) {
	if err := checkBounds(request.Prefix, ""); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return &metav1.CountResponse{Count: uint64(len(s.under(request.Prefix, ""))), Exact: true}, nil
}

// under gives the keys that begin with prefix and are above startAfter. The caller holds the lock.
func (s *metaService) under(prefix, startAfter string) []string {
	from, _ := slices.BinarySearch(s.keys, prefix)
	if startAfter != "" {
		after, exact := slices.BinarySearch(s.keys, startAfter)
		if exact {
			after++
		}
		from = max(from, after)
	}
	to := from
	for to < len(s.keys) && strings.HasPrefix(s.keys[to], prefix) {
		to++
	}
	return s.keys[from:to]
}

func (s *metaService) Write(ctx context.Context, request *metav1.WriteRequest) (*metav1.WriteResponse, error) {
	if err := checkOperations(request.Operations); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Under the lock: nothing can delay the effect any more.
	if err := assertInTime(ctx, s.now()); err != nil {
		return nil, err
	}
	for index, operation := range request.Operations {
		if err := s.checkCondition(index, operation); err != nil {
			return nil, err
		}
	}
	response := &metav1.WriteResponse{}
	for _, operation := range request.Operations {
		result := &metav1.WriteResult{Key: operation.Key}
		switch action := operation.Action.(type) {
		case *metav1.Operation_Put:
			result.Etag = s.put(operation.Key, action.Put)
		case *metav1.Operation_Delete:
			s.remove(operation.Key)
		case *metav1.Operation_Check:
			result.Etag = s.entries[operation.Key].etag
		}
		response.Results = append(response.Results, result)
	}
	return response, nil
}

func (s *metaService) checkCondition(index int, operation *metav1.Operation) error {
	found, present := s.entries[operation.Key]
	holds := true
	switch condition := operation.Condition.(type) {
	case *metav1.Operation_IfAbsent:
		holds = !present
	case *metav1.Operation_IfPresent:
		holds = present
	case *metav1.Operation_IfEtag:
		holds = present && found.etag == condition.IfEtag
	}
	if holds {
		return nil
	}
	return refusal(codes.Aborted, "CONDITION_FAILED", map[string]string{"index": strconv.Itoa(index)},
		"the condition of operation %d on %q does not hold", index, operation.Key)
}

func (s *metaService) put(key string, value []byte) string {
	if _, present := s.entries[key]; !present {
		at, _ := slices.BinarySearch(s.keys, key)
		s.keys = slices.Insert(s.keys, at, key)
	}
	s.puts++
	etag := fmt.Sprintf("%s-%d", s.life, s.puts)
	s.entries[key] = entry{value: value, etag: etag}
	return etag
}

func (s *metaService) remove(key string) {
	if at, present := slices.BinarySearch(s.keys, key); present {
		s.keys = slices.Delete(s.keys, at, at+1)
		delete(s.entries, key)
	}
}

func checkOperations(operations []*metav1.Operation) error {
	if len(operations) == 0 || len(operations) > maxOperations {
		return invalidField("operations", "%d operations, 1 to %d are allowed", len(operations), maxOperations)
	}
	seen := make(map[string]bool, len(operations))
	total := 0
	for index, operation := range operations {
		if err := checkKey(operation.Key); err != nil {
			return err
		}
		if seen[operation.Key] {
			return invalidField("operations", "key %q comes twice", operation.Key)
		}
		seen[operation.Key] = true
		switch action := operation.Action.(type) {
		case *metav1.Operation_Put:
			if len(action.Put) > maxValueBytes {
				return invalidField("operations", "value %d has %d bytes, at most %d are allowed", index, len(action.Put), maxValueBytes)
			}
			total += len(action.Put)
		case *metav1.Operation_Check:
			if operation.Condition == nil {
				return invalidField("operations", "check %d has no condition", index)
			}
		case nil:
			return invalidField("operations", "operation %d has no action", index)
		}
		total += len(operation.Key)
	}
	if total > maxWriteBytes {
		return invalidField("operations", "%d bytes in all, at most %d are allowed", total, maxWriteBytes)
	}
	return nil
}

var component = regexp.MustCompile(`^[A-Za-z0-9._-]{1,255}$`)

func checkKey(key string) error {
	valid := len(key) <= maxKeyBytes
	for _, part := range strings.Split(key, "/") {
		valid = valid && component.MatchString(part) && part != "." && part != ".."
	}
	if valid {
		return nil
	}
	return refusal(codes.InvalidArgument, "INVALID_KEY", nil,
		`key %.100q is not a list of [A-Za-z0-9._-]{1,255} joined by single slashes, 1 to 1024 bytes in all`, key)
}

func checkBounds(prefix, startAfter string) error {
	for field, text := range map[string]string{"prefix": prefix, "start_after": startAfter} {
		ascii := !strings.ContainsFunc(text, func(r rune) bool { return r > 127 })
		if !ascii || len(text) > maxBoundBytes {
			return invalidField(field, "%.100q is not ASCII of at most %d bytes", text, maxBoundBytes)
		}
	}
	return nil
}
