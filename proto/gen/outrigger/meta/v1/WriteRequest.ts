// Original file: proto/outrigger/meta/v1/meta.proto

import type { OperationInput as _outrigger_meta_v1_OperationInput, Operation as _outrigger_meta_v1_Operation } from '../../../outrigger/meta/v1/Operation.ts';

export interface WriteRequestInput {
  'operations'?: (_outrigger_meta_v1_OperationInput)[];
}

export interface WriteRequest {
  'operations': (_outrigger_meta_v1_Operation)[];
}
