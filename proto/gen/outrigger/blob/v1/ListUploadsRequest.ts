// Original file: proto/outrigger/blob/v1/blob.proto


export interface ListUploadsRequestInput {
  'startAfter'?: (string);
  'limit'?: (number);
}

export interface ListUploadsRequest {
  'startAfter': (string);
  'limit': (number);
}
