// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface ReadRequestInput {
  'key'?: (string);
  'offset'?: (number | string | Long);
  'limit'?: (number | string | Long);
  'ifEtag'?: (string);
  '_offset'?: "offset";
  '_limit'?: "limit";
}

export interface ReadRequest {
  'key': (string);
  'offset'?: (number);
  'limit'?: (number);
  'ifEtag': (string);
  '_offset'?: "offset";
  '_limit'?: "limit";
}
