// Original file: proto/outrigger/meta/v1/meta.proto


export interface ListRequestInput {
  'prefix'?: (string);
  'startAfter'?: (string);
  'limit'?: (number);
}

export interface ListRequest {
  'prefix': (string);
  'startAfter': (string);
  'limit': (number);
}
