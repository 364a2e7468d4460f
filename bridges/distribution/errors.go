package outrigger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reasons of google.rpc.ErrorInfo that this code decides by [call.error.01].
const (
	reasonKeyNotFound       = "KEY_NOT_FOUND"
	reasonUploadNotFound    = "UPLOAD_NOT_FOUND"
	reasonInvalidKey        = "INVALID_KEY"
	reasonOffsetMismatch    = "OFFSET_MISMATCH"
	reasonWrongStore        = "WRONG_STORE"
	reasonConditionFailed   = "CONDITION_FAILED"
	reasonConflict          = "CONFLICT"
	reasonTooLate           = "TOO_LATE"
	reasonStreamIdle        = "STREAM_IDLE"
	reasonReadOnly          = "READ_ONLY"
	reasonThrottled         = "THROTTLED"
	reasonCapabilityMissing = "CAPABILITY_MISSING"

	errorDomain = "outrigger"
)

// driverError is a failed call: what the driver said, or without a reason what the transport said.
type driverError struct {
	code       codes.Code
	reason     string
	message    string
	metadata   map[string]string
	retryAfter time.Duration
	cause      error
}

func (e *driverError) Error() string {
	if e.reason == "" {
		return e.message
	}
	return e.reason + ": " + e.message
}

func (e *driverError) Unwrap() error { return e.cause }

// asDriverError reads gRPC's error and the details in it; other errors (io.EOF, a context's) stay as they are.
func asDriverError(err error) error {
	var already *driverError
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &already) {
		return err
	}
	said, ok := status.FromError(err)
	if !ok {
		return err
	}
	result := &driverError{code: said.Code(), message: said.Message(), cause: err}
	for _, detail := range said.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == errorDomain {
				result.reason, result.metadata = detail.GetReason(), detail.GetMetadata()
			}
		case *errdetails.RetryInfo:
			result.retryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return result
}

// isForeign says whether an answer to the handshake shows that no driver is there: nothing answers so that speaks gRPC.
func (e *driverError) isForeign() bool {
	if e.reason != "" {
		return false
	}
	switch e.code {
	case codes.Unimplemented, codes.Internal, codes.Unknown:
		return true
	}
	return strings.Contains(e.message, "looked like an HTTP/1")
}

// isUntrusted says whether TLS failed for a reason that waiting does not mend.
func (e *driverError) isUntrusted() bool {
	return e.reason == "" && (strings.Contains(e.message, "x509: ") || strings.Contains(e.message, "remote error: tls: ") ||
		strings.Contains(e.message, "does not look like a TLS handshake"))
}

func reasonOf(err error) string {
	var failure *driverError
	if errors.As(err, &failure) {
		return failure.reason
	}
	return ""
}

// failedIndex is the position of the operation whose condition did not hold [meta.write.02]; -1: not told.
func failedIndex(err error) int {
	var failure *driverError
	if errors.As(err, &failure) {
		if index, err := strconv.Atoi(failure.metadata["index"]); err == nil {
			return index
		}
	}
	return -1
}

// isPassing says whether the same call may work later: the driver is away, starting, stopping, busy, or was too slow.
func isPassing(err error) bool {
	if errors.Is(err, errOwed) || errors.Is(err, errBroken) {
		return true
	}
	var failure *driverError
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.reason {
	case reasonConflict, reasonTooLate, reasonStreamIdle, reasonThrottled:
		return true
	case "":
		// The transport spoke.
		switch failure.code {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Internal, codes.Unknown:
			return true
		}
		return false
	default:
		return failure.code == codes.Unavailable
	}
}

var (
	// errOwed ends a stream on which the driver owed the next message for too long.
	errOwed = errors.New("the driver owed the next message for too long")
	// errBroken is a stream that ended before it was complete.
	errBroken = errors.New("the stream ended before it was complete")
)

// violation names the rule that an answer breaks.
func violation(rule, format string, args ...any) error {
	return fmt.Errorf("the driver breaks [%s]: %s", rule, fmt.Sprintf(format, args...))
}

// translate gives an error the type by which distribution decides.
func translate(path string, offset int64, err error) error {
	switch reasonOf(err) {
	case reasonKeyNotFound, reasonUploadNotFound:
		return storagedriver.PathNotFoundError{Path: path}
	case reasonInvalidKey:
		return storagedriver.InvalidPathError{Path: path}
	case reasonOffsetMismatch:
		return storagedriver.InvalidOffsetError{Path: path, Offset: offset}
	case reasonCapabilityMissing:
		return storagedriver.ErrUnsupportedMethod{}
	}
	return err
}

// sleep waits unless the context ends before. It answers the context's error then.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
