// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface ProgressInput {
  'received'?: (number | string | Long);
  'persisted'?: (number | string | Long);
}

export interface Progress {
  'received': (number);
  'persisted': (number);
}
