// Original file: proto/outrigger/blob/v1/blob.proto


export interface PutRequestInput {
  'key'?: (string);
  'data'?: (Buffer | Uint8Array | string);
  'digest'?: (string);
  'ifAbsent'?: (boolean);
  'ifEtag'?: (string);
}

export interface PutRequest {
  'key': (string);
  'data': (Buffer);
  'digest': (string);
  'ifAbsent': (boolean);
  'ifEtag': (string);
}
