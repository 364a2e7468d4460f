// Package fault holds the errors that a driver itself raises [call.error.01]: a reason of the contract, the gRPC code
// that belongs to it, and details that a core reads from grpc-status-details-bin.
package fault

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Reason is one of the contract's reasons, see handshake.proto.
type Reason string

// The reasons that a meta driver raises.
const (
	InvalidKey        Reason = "INVALID_KEY"
	InvalidField      Reason = "INVALID_FIELD"
	WrongStore        Reason = "WRONG_STORE"
	ReadOnly          Reason = "READ_ONLY"
	NotInitialised    Reason = "NOT_INITIALISED"
	ConditionFailed   Reason = "CONDITION_FAILED"
	TooLate           Reason = "TOO_LATE"
	StoredCorrupt     Reason = "STORED_CORRUPT"
	Quota             Reason = "QUOTA"
	Draining          Reason = "DRAINING"
	BackendDown       Reason = "BACKEND_DOWN"
	CapabilityMissing Reason = "CAPABILITY_MISSING"
	NotAllowed        Reason = "NOT_ALLOWED"
	Internal          Reason = "INTERNAL"
)

var codeOf = map[Reason]codes.Code{
	InvalidKey:        codes.InvalidArgument,
	InvalidField:      codes.InvalidArgument,
	WrongStore:        codes.FailedPrecondition,
	ReadOnly:          codes.FailedPrecondition,
	NotInitialised:    codes.FailedPrecondition,
	ConditionFailed:   codes.Aborted,
	TooLate:           codes.DeadlineExceeded,
	StoredCorrupt:     codes.DataLoss,
	Quota:             codes.ResourceExhausted,
	Draining:          codes.Unavailable,
	BackendDown:       codes.Unavailable,
	CapabilityMissing: codes.Unimplemented,
	NotAllowed:        codes.PermissionDenied,
	Internal:          codes.Internal,
}

const domain = "outrigger"

// Error is what a driver answers. Its cause stays in the process: only Message crosses the wire.
type Error struct {
	Reason   Reason
	Message  string
	Metadata map[string]string
	// RetryAfter tells the core when to come back; 0 is "not told".
	RetryAfter time.Duration
	Cause      error
}

// New makes an error of a reason.
func New(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Field makes an InvalidField that names the field.
func Field(field, format string, args ...any) *Error {
	return New(InvalidField, "%s: %s", field, fmt.Sprintf(format, args...)).With("field", field)
}

// With adds a detail.
func (e *Error) With(name, value string) *Error {
	if e.Metadata == nil {
		e.Metadata = map[string]string{}
	}
	e.Metadata[name] = value
	return e
}

// Because names the cause, for the log.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// After says when the same call may succeed.
func (e *Error) After(delay time.Duration) *Error {
	e.RetryAfter = delay
	return e
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return fmt.Sprintf("%s: %v", e.Message, e.Cause)
}

func (e *Error) Unwrap() error { return e.Cause }

// GRPCStatus makes grpc-go answer the right code and details.
func (e *Error) GRPCStatus() *status.Status {
	code, known := codeOf[e.Reason]
	if !known {
		code = codes.Internal
	}
	plain := status.New(code, e.Message)
	details := []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: string(e.Reason), Domain: domain, Metadata: e.Metadata},
	}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	detailed, err := plain.WithDetails(details...)
	if err != nil {
		return plain
	}
	return detailed
}

// Is tells whether err is, or wraps, an Error of the reason.
func Is(err error, reason Reason) bool {
	var fault *Error
	return errors.As(err, &fault) && fault.Reason == reason
}
