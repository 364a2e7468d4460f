// Original file: proto/outrigger/blob/v1/blob.proto

import type { StatResultInput as _outrigger_blob_v1_StatResultInput, StatResult as _outrigger_blob_v1_StatResult } from '../../../outrigger/blob/v1/StatResult.ts';

export interface StatResponseInput {
  'results'?: (_outrigger_blob_v1_StatResultInput)[];
}

export interface StatResponse {
  'results': (_outrigger_blob_v1_StatResult)[];
}
