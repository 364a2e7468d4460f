// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface OpenedInput {
  'persisted'?: (number | string | Long);
  'fence'?: (number | string | Long);
}

export interface Opened {
  'persisted': (number);
  'fence': (number);
}
