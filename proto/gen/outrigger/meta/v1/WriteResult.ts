// Original file: proto/outrigger/meta/v1/meta.proto


export interface WriteResultInput {
  'key'?: (string);
  'etag'?: (string);
}

export interface WriteResult {
  'key': (string);
  'etag': (string);
}
