// Original file: proto/outrigger/handshake/v1/handshake.proto

import type { ApiVersionInput as _outrigger_handshake_v1_ApiVersionInput, ApiVersion as _outrigger_handshake_v1_ApiVersion } from '../../../outrigger/handshake/v1/ApiVersion.ts';

export interface DescribeRequestInput {
  'coreName'?: (string);
  'coreVersion'?: (string);
  'apis'?: ({[key: string]: _outrigger_handshake_v1_ApiVersionInput});
}

export interface DescribeRequest {
  'coreName': (string);
  'coreVersion': (string);
  'apis': ({[key: string]: _outrigger_handshake_v1_ApiVersion});
}
