import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { ApiVersionInput as _outrigger_handshake_v1_ApiVersionInput, ApiVersion as _outrigger_handshake_v1_ApiVersion } from './outrigger/handshake/v1/ApiVersion.ts';
import type { ApiVersionsInput as _outrigger_handshake_v1_ApiVersionsInput, ApiVersions as _outrigger_handshake_v1_ApiVersions } from './outrigger/handshake/v1/ApiVersions.ts';
import type { DescribeRequestInput as _outrigger_handshake_v1_DescribeRequestInput, DescribeRequest as _outrigger_handshake_v1_DescribeRequest } from './outrigger/handshake/v1/DescribeRequest.ts';
import type { DescribeResponseInput as _outrigger_handshake_v1_DescribeResponseInput, DescribeResponse as _outrigger_handshake_v1_DescribeResponse } from './outrigger/handshake/v1/DescribeResponse.ts';
import type { HandshakeServiceClient as _outrigger_handshake_v1_HandshakeServiceClient, HandshakeServiceDefinition as _outrigger_handshake_v1_HandshakeServiceDefinition } from './outrigger/handshake/v1/HandshakeService.ts';
import type { LimitsInput as _outrigger_handshake_v1_LimitsInput, Limits as _outrigger_handshake_v1_Limits } from './outrigger/handshake/v1/Limits.ts';
import type { StoreInput as _outrigger_handshake_v1_StoreInput, Store as _outrigger_handshake_v1_Store } from './outrigger/handshake/v1/Store.ts';
import type { VersionRequestInput as _outrigger_handshake_v1_VersionRequestInput, VersionRequest as _outrigger_handshake_v1_VersionRequest } from './outrigger/handshake/v1/VersionRequest.ts';
import type { VersionResponseInput as _outrigger_handshake_v1_VersionResponseInput, VersionResponse as _outrigger_handshake_v1_VersionResponse } from './outrigger/handshake/v1/VersionResponse.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  outrigger: {
    handshake: {
      v1: {
        ApiVersion: MessageTypeDefinition<_outrigger_handshake_v1_ApiVersionInput, _outrigger_handshake_v1_ApiVersion>
        ApiVersions: MessageTypeDefinition<_outrigger_handshake_v1_ApiVersionsInput, _outrigger_handshake_v1_ApiVersions>
        DescribeRequest: MessageTypeDefinition<_outrigger_handshake_v1_DescribeRequestInput, _outrigger_handshake_v1_DescribeRequest>
        DescribeResponse: MessageTypeDefinition<_outrigger_handshake_v1_DescribeResponseInput, _outrigger_handshake_v1_DescribeResponse>
        HandshakeService: SubtypeConstructor<typeof grpc.Client, _outrigger_handshake_v1_HandshakeServiceClient> & { service: _outrigger_handshake_v1_HandshakeServiceDefinition }
        Limits: MessageTypeDefinition<_outrigger_handshake_v1_LimitsInput, _outrigger_handshake_v1_Limits>
        Store: MessageTypeDefinition<_outrigger_handshake_v1_StoreInput, _outrigger_handshake_v1_Store>
        StoreKind: EnumTypeDefinition
        VersionRequest: MessageTypeDefinition<_outrigger_handshake_v1_VersionRequestInput, _outrigger_handshake_v1_VersionRequest>
        VersionResponse: MessageTypeDefinition<_outrigger_handshake_v1_VersionResponseInput, _outrigger_handshake_v1_VersionResponse>
      }
    }
  }
}

