// Original file: proto/outrigger/handshake/v1/handshake.proto

import type { ApiVersionsInput as _outrigger_handshake_v1_ApiVersionsInput, ApiVersions as _outrigger_handshake_v1_ApiVersions } from '../../../outrigger/handshake/v1/ApiVersions.ts';
import type { StoreInput as _outrigger_handshake_v1_StoreInput, Store as _outrigger_handshake_v1_Store } from '../../../outrigger/handshake/v1/Store.ts';

export interface DescribeResponseInput {
  'driver'?: (string);
  'version'?: (string);
  'apis'?: ({[key: string]: _outrigger_handshake_v1_ApiVersionsInput});
  'stores'?: (_outrigger_handshake_v1_StoreInput)[];
  'notices'?: (string)[];
}

export interface DescribeResponse {
  'driver': (string);
  'version': (string);
  'apis': ({[key: string]: _outrigger_handshake_v1_ApiVersions});
  'stores': (_outrigger_handshake_v1_Store)[];
  'notices': (string)[];
}
