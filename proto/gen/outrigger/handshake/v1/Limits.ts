// Original file: proto/outrigger/handshake/v1/handshake.proto

import type { Long } from '@grpc/proto-loader';

export interface LimitsInput {
  'persistStepBytes'?: (number | string | Long);
  'uploadTtlMs'?: (number | string | Long);
  'maxBlobBytes'?: (number | string | Long);
  'listLagMs'?: (number | string | Long);
  'maxValueBytes'?: (number | string | Long);
  'streamIdleMs'?: (number | string | Long);
}

export interface Limits {
  'persistStepBytes': (number);
  'uploadTtlMs': (number);
  'maxBlobBytes': (number);
  'listLagMs': (number);
  'maxValueBytes': (number);
  'streamIdleMs': (number);
}
