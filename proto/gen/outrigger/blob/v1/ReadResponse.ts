// Original file: proto/outrigger/blob/v1/blob.proto

import type { ReadStartInput as _outrigger_blob_v1_ReadStartInput, ReadStart as _outrigger_blob_v1_ReadStart } from '../../../outrigger/blob/v1/ReadStart.ts';
import type { ReadChunkInput as _outrigger_blob_v1_ReadChunkInput, ReadChunk as _outrigger_blob_v1_ReadChunk } from '../../../outrigger/blob/v1/ReadChunk.ts';

export interface ReadResponseInput {
  'start'?: (_outrigger_blob_v1_ReadStartInput | null);
  'chunk'?: (_outrigger_blob_v1_ReadChunkInput | null);
  'part'?: "start"|"chunk";
}

export interface ReadResponse {
  'start'?: (_outrigger_blob_v1_ReadStart | null);
  'chunk'?: (_outrigger_blob_v1_ReadChunk | null);
  'part'?: "start"|"chunk";
}
