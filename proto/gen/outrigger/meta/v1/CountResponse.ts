// Original file: proto/outrigger/meta/v1/meta.proto

import type { Long } from '@grpc/proto-loader';

export interface CountResponseInput {
  'count'?: (number | string | Long);
  'exact'?: (boolean);
}

export interface CountResponse {
  'count': (number);
  'exact': (boolean);
}
