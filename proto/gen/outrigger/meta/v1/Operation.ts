// Original file: proto/outrigger/meta/v1/meta.proto

import type { DeleteInput as _outrigger_meta_v1_DeleteInput, Delete as _outrigger_meta_v1_Delete } from '../../../outrigger/meta/v1/Delete.ts';
import type { CheckInput as _outrigger_meta_v1_CheckInput, Check as _outrigger_meta_v1_Check } from '../../../outrigger/meta/v1/Check.ts';
import type { AbsentInput as _outrigger_meta_v1_AbsentInput, Absent as _outrigger_meta_v1_Absent } from '../../../outrigger/meta/v1/Absent.ts';
import type { PresentInput as _outrigger_meta_v1_PresentInput, Present as _outrigger_meta_v1_Present } from '../../../outrigger/meta/v1/Present.ts';

export interface OperationInput {
  'key'?: (string);
  'put'?: (Buffer | Uint8Array | string);
  'delete'?: (_outrigger_meta_v1_DeleteInput | null);
  'check'?: (_outrigger_meta_v1_CheckInput | null);
  'ifAbsent'?: (_outrigger_meta_v1_AbsentInput | null);
  'ifPresent'?: (_outrigger_meta_v1_PresentInput | null);
  'ifEtag'?: (string);
  'action'?: "put"|"delete"|"check";
  'condition'?: "ifAbsent"|"ifPresent"|"ifEtag";
}

export interface Operation {
  'key': (string);
  'put'?: (Buffer);
  'delete'?: (_outrigger_meta_v1_Delete | null);
  'check'?: (_outrigger_meta_v1_Check | null);
  'ifAbsent'?: (_outrigger_meta_v1_Absent | null);
  'ifPresent'?: (_outrigger_meta_v1_Present | null);
  'ifEtag'?: (string);
  'action'?: "put"|"delete"|"check";
  'condition'?: "ifAbsent"|"ifPresent"|"ifEtag";
}
