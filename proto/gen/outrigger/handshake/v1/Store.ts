// Original file: proto/outrigger/handshake/v1/handshake.proto

import type { StoreKindInput as _outrigger_handshake_v1_StoreKindInput, StoreKind as _outrigger_handshake_v1_StoreKind } from '../../../outrigger/handshake/v1/StoreKind.ts';
import type { LimitsInput as _outrigger_handshake_v1_LimitsInput, Limits as _outrigger_handshake_v1_Limits } from '../../../outrigger/handshake/v1/Limits.ts';
import type { Long } from '@grpc/proto-loader';

export interface StoreInput {
  'kind'?: (_outrigger_handshake_v1_StoreKindInput);
  'id'?: (string);
  'capabilities'?: (string)[];
  'limits'?: (_outrigger_handshake_v1_LimitsInput | null);
  'outside'?: (number | string | Long);
}

export interface Store {
  'kind': (_outrigger_handshake_v1_StoreKind);
  'id': (string);
  'capabilities': (string)[];
  'limits': (_outrigger_handshake_v1_Limits | null);
  'outside': (number);
}
