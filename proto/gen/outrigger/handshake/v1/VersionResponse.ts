// Original file: proto/outrigger/handshake/v1/handshake.proto

import type { ApiVersionsInput as _outrigger_handshake_v1_ApiVersionsInput, ApiVersions as _outrigger_handshake_v1_ApiVersions } from '../../../outrigger/handshake/v1/ApiVersions.ts';

export interface VersionResponseInput {
  'api'?: ({[key: string]: _outrigger_handshake_v1_ApiVersionsInput});
}

export interface VersionResponse {
  'api': ({[key: string]: _outrigger_handshake_v1_ApiVersions});
}
