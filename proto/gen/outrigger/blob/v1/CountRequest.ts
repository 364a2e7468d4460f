// Original file: proto/outrigger/blob/v1/blob.proto


export interface CountRequestInput {
  'prefix'?: (string);
}

export interface CountRequest {
  'prefix': (string);
}
