// Original file: proto/outrigger/handshake/v1/handshake.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { DescribeRequestInput as _outrigger_handshake_v1_DescribeRequestInput, DescribeRequest as _outrigger_handshake_v1_DescribeRequest } from '../../../outrigger/handshake/v1/DescribeRequest.ts';
import type { DescribeResponseInput as _outrigger_handshake_v1_DescribeResponseInput, DescribeResponse as _outrigger_handshake_v1_DescribeResponse } from '../../../outrigger/handshake/v1/DescribeResponse.ts';
import type { VersionRequestInput as _outrigger_handshake_v1_VersionRequestInput, VersionRequest as _outrigger_handshake_v1_VersionRequest } from '../../../outrigger/handshake/v1/VersionRequest.ts';
import type { VersionResponseInput as _outrigger_handshake_v1_VersionResponseInput, VersionResponse as _outrigger_handshake_v1_VersionResponse } from '../../../outrigger/handshake/v1/VersionResponse.ts';

export interface HandshakeServiceClient extends grpc.Client {
  Describe(argument: _outrigger_handshake_v1_DescribeRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_handshake_v1_DescribeResponse>): grpc.ClientUnaryCall;
  Describe(argument: _outrigger_handshake_v1_DescribeRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_handshake_v1_DescribeResponse>): grpc.ClientUnaryCall;
  Describe(argument: _outrigger_handshake_v1_DescribeRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_handshake_v1_DescribeResponse>): grpc.ClientUnaryCall;
  Describe(argument: _outrigger_handshake_v1_DescribeRequestInput, callback: grpc.requestCallback<_outrigger_handshake_v1_DescribeResponse>): grpc.ClientUnaryCall;
  describe(argument: _outrigger_handshake_v1_DescribeRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_handshake_v1_DescribeResponse>): grpc.ClientUnaryCall;
  describe(argument: _outrigger_handshake_v1_DescribeRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_handshake_v1_DescribeResponse>): grpc.ClientUnaryCall;
  describe(argument: _outrigger_handshake_v1_DescribeRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_handshake_v1_DescribeResponse>): grpc.ClientUnaryCall;
  describe(argument: _outrigger_handshake_v1_DescribeRequestInput, callback: grpc.requestCallback<_outrigger_handshake_v1_DescribeResponse>): grpc.ClientUnaryCall;
  
  Version(argument: _outrigger_handshake_v1_VersionRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_handshake_v1_VersionResponse>): grpc.ClientUnaryCall;
  Version(argument: _outrigger_handshake_v1_VersionRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_handshake_v1_VersionResponse>): grpc.ClientUnaryCall;
  Version(argument: _outrigger_handshake_v1_VersionRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_handshake_v1_VersionResponse>): grpc.ClientUnaryCall;
  Version(argument: _outrigger_handshake_v1_VersionRequestInput, callback: grpc.requestCallback<_outrigger_handshake_v1_VersionResponse>): grpc.ClientUnaryCall;
  version(argument: _outrigger_handshake_v1_VersionRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_handshake_v1_VersionResponse>): grpc.ClientUnaryCall;
  version(argument: _outrigger_handshake_v1_VersionRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_handshake_v1_VersionResponse>): grpc.ClientUnaryCall;
  version(argument: _outrigger_handshake_v1_VersionRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_handshake_v1_VersionResponse>): grpc.ClientUnaryCall;
  version(argument: _outrigger_handshake_v1_VersionRequestInput, callback: grpc.requestCallback<_outrigger_handshake_v1_VersionResponse>): grpc.ClientUnaryCall;
  
}

export interface HandshakeServiceHandlers extends grpc.UntypedServiceImplementation {
  Describe: grpc.handleUnaryCall<_outrigger_handshake_v1_DescribeRequest, _outrigger_handshake_v1_DescribeResponseInput>;
  
  Version: grpc.handleUnaryCall<_outrigger_handshake_v1_VersionRequest, _outrigger_handshake_v1_VersionResponseInput>;
  
}

export interface HandshakeServiceDefinition extends grpc.ServiceDefinition {
  Describe: MethodDefinition<_outrigger_handshake_v1_DescribeRequestInput, _outrigger_handshake_v1_DescribeResponseInput, _outrigger_handshake_v1_DescribeRequest, _outrigger_handshake_v1_DescribeResponse>
  Version: MethodDefinition<_outrigger_handshake_v1_VersionRequestInput, _outrigger_handshake_v1_VersionResponseInput, _outrigger_handshake_v1_VersionRequest, _outrigger_handshake_v1_VersionResponse>
}
