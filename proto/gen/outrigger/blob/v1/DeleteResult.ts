// Original file: proto/outrigger/blob/v1/blob.proto


export interface DeleteResultInput {
  'key'?: (string);
  'reason'?: (string);
  'message'?: (string);
}

export interface DeleteResult {
  'key': (string);
  'reason': (string);
  'message': (string);
}
