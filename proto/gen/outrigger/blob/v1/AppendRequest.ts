// Original file: proto/outrigger/blob/v1/blob.proto

import type { OpenInput as _outrigger_blob_v1_OpenInput, Open as _outrigger_blob_v1_Open } from '../../../outrigger/blob/v1/Open.ts';
import type { ChunkInput as _outrigger_blob_v1_ChunkInput, Chunk as _outrigger_blob_v1_Chunk } from '../../../outrigger/blob/v1/Chunk.ts';
import type { FlushInput as _outrigger_blob_v1_FlushInput, Flush as _outrigger_blob_v1_Flush } from '../../../outrigger/blob/v1/Flush.ts';
import type { CommitInput as _outrigger_blob_v1_CommitInput, Commit as _outrigger_blob_v1_Commit } from '../../../outrigger/blob/v1/Commit.ts';

export interface AppendRequestInput {
  'open'?: (_outrigger_blob_v1_OpenInput | null);
  'chunk'?: (_outrigger_blob_v1_ChunkInput | null);
  'flush'?: (_outrigger_blob_v1_FlushInput | null);
  'commit'?: (_outrigger_blob_v1_CommitInput | null);
  'step'?: "open"|"chunk"|"flush"|"commit";
}

export interface AppendRequest {
  'open'?: (_outrigger_blob_v1_Open | null);
  'chunk'?: (_outrigger_blob_v1_Chunk | null);
  'flush'?: (_outrigger_blob_v1_Flush | null);
  'commit'?: (_outrigger_blob_v1_Commit | null);
  'step'?: "open"|"chunk"|"flush"|"commit";
}
