// Original file: proto/outrigger/blob/v1/blob.proto

import type { WorkingInput as _outrigger_blob_v1_WorkingInput, Working as _outrigger_blob_v1_Working } from '../../../outrigger/blob/v1/Working.ts';
import type { BlobInfoInput as _outrigger_blob_v1_BlobInfoInput, BlobInfo as _outrigger_blob_v1_BlobInfo } from '../../../outrigger/blob/v1/BlobInfo.ts';

export interface MoveResponseInput {
  'working'?: (_outrigger_blob_v1_WorkingInput | null);
  'info'?: (_outrigger_blob_v1_BlobInfoInput | null);
  'step'?: "working"|"info";
}

export interface MoveResponse {
  'working'?: (_outrigger_blob_v1_Working | null);
  'info'?: (_outrigger_blob_v1_BlobInfo | null);
  'step'?: "working"|"info";
}
