// Original file: proto/google/rpc/error_details.proto


export interface RequestInfoInput {
  'requestId'?: (string);
  'servingData'?: (string);
}

export interface RequestInfo {
  'requestId': (string);
  'servingData': (string);
}
