// Original file: proto/outrigger/blob/v1/blob.proto

import type { OpenedInput as _outrigger_blob_v1_OpenedInput, Opened as _outrigger_blob_v1_Opened } from '../../../outrigger/blob/v1/Opened.ts';
import type { ProgressInput as _outrigger_blob_v1_ProgressInput, Progress as _outrigger_blob_v1_Progress } from '../../../outrigger/blob/v1/Progress.ts';
import type { CommittedInput as _outrigger_blob_v1_CommittedInput, Committed as _outrigger_blob_v1_Committed } from '../../../outrigger/blob/v1/Committed.ts';

export interface AppendResponseInput {
  'opened'?: (_outrigger_blob_v1_OpenedInput | null);
  'progress'?: (_outrigger_blob_v1_ProgressInput | null);
  'committed'?: (_outrigger_blob_v1_CommittedInput | null);
  'step'?: "opened"|"progress"|"committed";
}

export interface AppendResponse {
  'opened'?: (_outrigger_blob_v1_Opened | null);
  'progress'?: (_outrigger_blob_v1_Progress | null);
  'committed'?: (_outrigger_blob_v1_Committed | null);
  'step'?: "opened"|"progress"|"committed";
}
