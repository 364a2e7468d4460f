// Original file: proto/outrigger/scan/v1/scan.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { AffectedRequestInput as _outrigger_scan_v1_AffectedRequestInput, AffectedRequest as _outrigger_scan_v1_AffectedRequest } from '../../../outrigger/scan/v1/AffectedRequest.ts';
import type { AffectedResponseInput as _outrigger_scan_v1_AffectedResponseInput, AffectedResponse as _outrigger_scan_v1_AffectedResponse } from '../../../outrigger/scan/v1/AffectedResponse.ts';
import type { ScanRequestInput as _outrigger_scan_v1_ScanRequestInput, ScanRequest as _outrigger_scan_v1_ScanRequest } from '../../../outrigger/scan/v1/ScanRequest.ts';
import type { ScanResponseInput as _outrigger_scan_v1_ScanResponseInput, ScanResponse as _outrigger_scan_v1_ScanResponse } from '../../../outrigger/scan/v1/ScanResponse.ts';

export interface ScanServiceClient extends grpc.Client {
  Affected(argument: _outrigger_scan_v1_AffectedRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_scan_v1_AffectedResponse>): grpc.ClientUnaryCall;
  Affected(argument: _outrigger_scan_v1_AffectedRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_scan_v1_AffectedResponse>): grpc.ClientUnaryCall;
  Affected(argument: _outrigger_scan_v1_AffectedRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_scan_v1_AffectedResponse>): grpc.ClientUnaryCall;
  Affected(argument: _outrigger_scan_v1_AffectedRequestInput, callback: grpc.requestCallback<_outrigger_scan_v1_AffectedResponse>): grpc.ClientUnaryCall;
  affected(argument: _outrigger_scan_v1_AffectedRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_scan_v1_AffectedResponse>): grpc.ClientUnaryCall;
  affected(argument: _outrigger_scan_v1_AffectedRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_scan_v1_AffectedResponse>): grpc.ClientUnaryCall;
  affected(argument: _outrigger_scan_v1_AffectedRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_scan_v1_AffectedResponse>): grpc.ClientUnaryCall;
  affected(argument: _outrigger_scan_v1_AffectedRequestInput, callback: grpc.requestCallback<_outrigger_scan_v1_AffectedResponse>): grpc.ClientUnaryCall;
  
  Scan(argument: _outrigger_scan_v1_ScanRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_scan_v1_ScanResponse>): grpc.ClientUnaryCall;
  Scan(argument: _outrigger_scan_v1_ScanRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_scan_v1_ScanResponse>): grpc.ClientUnaryCall;
  Scan(argument: _outrigger_scan_v1_ScanRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_scan_v1_ScanResponse>): grpc.ClientUnaryCall;
  Scan(argument: _outrigger_scan_v1_ScanRequestInput, callback: grpc.requestCallback<_outrigger_scan_v1_ScanResponse>): grpc.ClientUnaryCall;
  scan(argument: _outrigger_scan_v1_ScanRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_scan_v1_ScanResponse>): grpc.ClientUnaryCall;
  scan(argument: _outrigger_scan_v1_ScanRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_scan_v1_ScanResponse>): grpc.ClientUnaryCall;
  scan(argument: _outrigger_scan_v1_ScanRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_scan_v1_ScanResponse>): grpc.ClientUnaryCall;
  scan(argument: _outrigger_scan_v1_ScanRequestInput, callback: grpc.requestCallback<_outrigger_scan_v1_ScanResponse>): grpc.ClientUnaryCall;
  
}

export interface ScanServiceHandlers extends grpc.UntypedServiceImplementation {
  Affected: grpc.handleUnaryCall<_outrigger_scan_v1_AffectedRequest, _outrigger_scan_v1_AffectedResponseInput>;
  
  Scan: grpc.handleUnaryCall<_outrigger_scan_v1_ScanRequest, _outrigger_scan_v1_ScanResponseInput>;
  
}

export interface ScanServiceDefinition extends grpc.ServiceDefinition {
  Affected: MethodDefinition<_outrigger_scan_v1_AffectedRequestInput, _outrigger_scan_v1_AffectedResponseInput, _outrigger_scan_v1_AffectedRequest, _outrigger_scan_v1_AffectedResponse>
  Scan: MethodDefinition<_outrigger_scan_v1_ScanRequestInput, _outrigger_scan_v1_ScanResponseInput, _outrigger_scan_v1_ScanRequest, _outrigger_scan_v1_ScanResponse>
}
