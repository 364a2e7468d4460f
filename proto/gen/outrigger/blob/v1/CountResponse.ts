// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface CountResponseInput {
  'count'?: (number | string | Long);
  'exact'?: (boolean);
}

export interface CountResponse {
  'count': (number);
  'exact': (boolean);
}
