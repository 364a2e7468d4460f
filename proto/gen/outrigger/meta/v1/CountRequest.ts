// Original file: proto/outrigger/meta/v1/meta.proto


export interface CountRequestInput {
  'prefix'?: (string);
}

export interface CountRequest {
  'prefix': (string);
}
