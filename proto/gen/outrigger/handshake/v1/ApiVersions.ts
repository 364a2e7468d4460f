// Original file: proto/outrigger/handshake/v1/handshake.proto

import type { ApiVersionInput as _outrigger_handshake_v1_ApiVersionInput, ApiVersion as _outrigger_handshake_v1_ApiVersion } from '../../../outrigger/handshake/v1/ApiVersion.ts';

export interface ApiVersionsInput {
  'versions'?: (_outrigger_handshake_v1_ApiVersionInput)[];
}

export interface ApiVersions {
  'versions': (_outrigger_handshake_v1_ApiVersion)[];
}
