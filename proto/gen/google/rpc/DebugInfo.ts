// Original file: proto/google/rpc/error_details.proto


export interface DebugInfoInput {
  'stackEntries'?: (string)[];
  'detail'?: (string);
}

export interface DebugInfo {
  'stackEntries': (string)[];
  'detail': (string);
}
