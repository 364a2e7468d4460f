package main

import (
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refusal is an error of this driver as [call.error.01] wants it: a code, and ErrorInfo with a reason.
func refusal(code codes.Code, reason string, metadata map[string]string, format string, args ...any) error {
	plain := status.New(code, fmt.Sprintf(format, args...))
	detailed, err := plain.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "outrigger", Metadata: metadata})
	if err != nil {
		return plain.Err()
	}
	return detailed.Err()
}

func invalidField(field, format string, args ...any) error {
	return refusal(codes.InvalidArgument, "INVALID_FIELD", map[string]string{"field": field}, field+": "+format, args...)
}
