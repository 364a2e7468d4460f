// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface ChunkInput {
  'offset'?: (number | string | Long);
  'data'?: (Buffer | Uint8Array | string);
  '_offset'?: "offset";
}

export interface Chunk {
  'offset'?: (number);
  'data': (Buffer);
  '_offset'?: "offset";
}
