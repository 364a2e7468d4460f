// Original file: proto/google/rpc/error_details.proto


export interface _google_rpc_PreconditionFailure_ViolationInput {
  'type'?: (string);
  'subject'?: (string);
  'description'?: (string);
}

export interface _google_rpc_PreconditionFailure_Violation {
  'type': (string);
  'subject': (string);
  'description': (string);
}

export interface PreconditionFailureInput {
  'violations'?: (_google_rpc_PreconditionFailure_ViolationInput)[];
}

export interface PreconditionFailure {
  'violations': (_google_rpc_PreconditionFailure_Violation)[];
}
