package server

import (
	"context"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/fault"
	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/rules"
	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/store"

	metav1 "github.com/outrigger-registry/outrigger/drivers/bolt/internal/gen/outrigger/meta/v1"
)

// metaService checks requests and turns messages into the store's words and back.
type metaService struct {
	metav1.UnimplementedMetaServiceServer
	store Store
}

func (s *metaService) Get(ctx context.Context, request *metav1.GetRequest) (*metav1.GetResponse, error) {
	if len(request.Keys) > rules.GetKeys {
		return nil, fault.Field("keys", "%d keys are more than %d", len(request.Keys), rules.GetKeys)
	}
	for _, key := range request.Keys {
		if err := rules.CheckKey(key); err != nil {
			return nil, err
		}
	}
	items, err := s.store.Get(ctx, request.Keys, rules.AnswerBytes)
	if err != nil {
		return nil, err
	}
	response := &metav1.GetResponse{
		Results: make([]*metav1.GetResult, len(items)),
		Unread:  request.Keys[len(items):],
	}
	for i, item := range items {
		response.Results[i] = &metav1.GetResult{Key: request.Keys[i], Item: itemMessage(item)}
	}
	return response, nil
}

func (s *metaService) List(ctx context.Context, request *metav1.ListRequest) (*metav1.ListResponse, error) {
	if err := rules.CheckBound("prefix", request.Prefix); err != nil {
		return nil, err
	}
	if err := rules.CheckBound("start_after", request.StartAfter); err != nil {
		return nil, err
	}
	if request.Limit > rules.ListItems {
		return nil, fault.Field("limit", "%d is more than %d", request.Limit, rules.ListItems)
	}
	limit := int(request.Limit)
	if limit == 0 {
		limit = rules.ListItems
	}
	items, more, err := s.store.List(ctx, request.Prefix, request.StartAfter, limit, rules.AnswerBytes)
	if err != nil {
		return nil, err
	}
	response := &metav1.ListResponse{Items: make([]*metav1.Item, len(items)), More: more}
	for i, item := range items {
		response.Items[i] = itemMessage(item)
	}
	return response, nil
}

func (s *metaService) Count(ctx context.Context, request *metav1.CountRequest) (*metav1.CountResponse, error) {
	if err := rules.CheckBound("prefix", request.Prefix); err != nil {
		return nil, err
	}
	count, err := s.store.Count(ctx, request.Prefix)
	if err != nil {
		return nil, err
	}
	return &metav1.CountResponse{Count: count, Exact: true}, nil
}

func (s *metaService) Write(ctx context.Context, request *metav1.WriteRequest) (*metav1.WriteResponse, error) {
	operations, err := readOperations(request.Operations)
	if err != nil {
		return nil, err
	}
	notAfter, err := notAfterOf(ctx)
	if err != nil {
		return nil, err
	}
	etags, err := s.store.Write(ctx, operations, notAfter)
	if err != nil {
		return nil, err
	}
	response := &metav1.WriteResponse{Results: make([]*metav1.WriteResult, len(operations))}
	for i, operation := range operations {
		response.Results[i] = &metav1.WriteResult{Key: operation.Key, Etag: etags[i]}
	}
	return response, nil
}

func itemMessage(item *store.Item) *metav1.Item {
	if item == nil {
		return nil
	}
	return &metav1.Item{Key: item.Key, Value: item.Value, Etag: item.Etag}
}

// readOperations refuses what is no Write, before any effect [meta.write.05].
func readOperations(messages []*metav1.Operation) ([]store.Operation, error) {
	if len(messages) < 1 || len(messages) > rules.WriteOperations {
		return nil, fault.Field("operations", "%d operations, 1 to %d are allowed", len(messages), rules.WriteOperations)
	}
	operations := make([]store.Operation, len(messages))
	seen := make(map[string]struct{}, len(messages))
	bytes := 0
	for i, message := range messages {
		operation, err := readOperation(i, message)
		if err != nil {
			return nil, err
		}
		if _, twice := seen[operation.Key]; twice {
			return nil, fault.Field("operations", "the key %s is in this Write twice", operation.Key)
		}
		seen[operation.Key] = struct{}{}
		bytes += len(operation.Key) + len(operation.Value)
		operations[i] = operation
	}
	if bytes > rules.WriteBytes {
		return nil, fault.Field("operations", "%d bytes of keys and values are more than %d", bytes, rules.WriteBytes)
	}
	return operations, nil
}

func readOperation(index int, message *metav1.Operation) (store.Operation, error) {
	operation := store.Operation{Key: message.Key}
	if err := rules.CheckKey(message.Key); err != nil {
		return operation, err
	}
	switch action := message.Action.(type) {
	case *metav1.Operation_Put:
		if len(action.Put) > rules.ValueBytes {
			return operation, fault.Field("operations", "the value of operation %d has %d bytes, more than %d",
				index, len(action.Put), rules.ValueBytes)
		}
		operation.Action, operation.Value = store.Put, action.Put
	case *metav1.Operation_Delete:
		operation.Action = store.Delete
	case *metav1.Operation_Check:
		operation.Action = store.Check
		if message.Condition == nil {
			return operation, fault.Field("operations", "operation %d is a check without a condition", index)
		}
	default:
		return operation, fault.Field("operations", "operation %d is none of put, delete and check", index)
	}
	switch condition := message.Condition.(type) {
	case *metav1.Operation_IfAbsent:
		operation.Require = store.IfAbsent
	case *metav1.Operation_IfPresent:
		operation.Require = store.IfPresent
	case *metav1.Operation_IfEtag:
		operation.Require, operation.Etag = store.IfEtag, condition.IfEtag
	}
	return operation, nil
}
