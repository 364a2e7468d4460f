// Original file: proto/outrigger/blob/v1/blob.proto


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
