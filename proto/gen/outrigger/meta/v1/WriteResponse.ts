// Original file: proto/outrigger/meta/v1/meta.proto

import type { WriteResultInput as _outrigger_meta_v1_WriteResultInput, WriteResult as _outrigger_meta_v1_WriteResult } from '../../../outrigger/meta/v1/WriteResult.ts';

export interface WriteResponseInput {
  'results'?: (_outrigger_meta_v1_WriteResultInput)[];
}

export interface WriteResponse {
  'results': (_outrigger_meta_v1_WriteResult)[];
}
