// Original file: proto/google/rpc/error_details.proto

import type { LocalizedMessageInput as _google_rpc_LocalizedMessageInput, LocalizedMessage as _google_rpc_LocalizedMessage } from '../../google/rpc/LocalizedMessage.ts';

export interface _google_rpc_BadRequest_FieldViolationInput {
  'field'?: (string);
  'description'?: (string);
  'reason'?: (string);
  'localizedMessage'?: (_google_rpc_LocalizedMessageInput | null);
}

export interface _google_rpc_BadRequest_FieldViolation {
  'field': (string);
  'description': (string);
  'reason': (string);
  'localizedMessage': (_google_rpc_LocalizedMessage | null);
}

export interface BadRequestInput {
  'fieldViolations'?: (_google_rpc_BadRequest_FieldViolationInput)[];
}

export interface BadRequest {
  'fieldViolations': (_google_rpc_BadRequest_FieldViolation)[];
}
