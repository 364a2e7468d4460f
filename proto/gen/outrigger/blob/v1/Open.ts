// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface OpenInput {
  'uploadId'?: (string);
  'sender'?: (string);
  'attempt'?: (number | string | Long);
  'create'?: (boolean);
  'algorithm'?: (string);
  'key'?: (string);
  'size'?: (number | string | Long);
  'notAfterMs'?: (number | string | Long);
  '_size'?: "size";
}

export interface Open {
  'uploadId': (string);
  'sender': (string);
  'attempt': (number);
  'create': (boolean);
  'algorithm': (string);
  'key': (string);
  'size'?: (number);
  'notAfterMs': (number);
  '_size'?: "size";
}
