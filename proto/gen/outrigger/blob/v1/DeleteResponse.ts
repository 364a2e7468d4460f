// Original file: proto/outrigger/blob/v1/blob.proto

import type { DeleteResultInput as _outrigger_blob_v1_DeleteResultInput, DeleteResult as _outrigger_blob_v1_DeleteResult } from '../../../outrigger/blob/v1/DeleteResult.ts';

export interface DeleteResponseInput {
  'results'?: (_outrigger_blob_v1_DeleteResultInput)[];
}

export interface DeleteResponse {
  'results': (_outrigger_blob_v1_DeleteResult)[];
}
