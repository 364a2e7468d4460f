// Original file: proto/outrigger/meta/v1/meta.proto


export interface ItemInput {
  'key'?: (string);
  'value'?: (Buffer | Uint8Array | string);
  'etag'?: (string);
}

export interface Item {
  'key': (string);
  'value': (Buffer);
  'etag': (string);
}
