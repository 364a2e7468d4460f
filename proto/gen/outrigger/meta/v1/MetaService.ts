// Original file: proto/outrigger/meta/v1/meta.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { CountRequestInput as _outrigger_meta_v1_CountRequestInput, CountRequest as _outrigger_meta_v1_CountRequest } from '../../../outrigger/meta/v1/CountRequest.ts';
import type { CountResponseInput as _outrigger_meta_v1_CountResponseInput, CountResponse as _outrigger_meta_v1_CountResponse } from '../../../outrigger/meta/v1/CountResponse.ts';
import type { GetRequestInput as _outrigger_meta_v1_GetRequestInput, GetRequest as _outrigger_meta_v1_GetRequest } from '../../../outrigger/meta/v1/GetRequest.ts';
import type { GetResponseInput as _outrigger_meta_v1_GetResponseInput, GetResponse as _outrigger_meta_v1_GetResponse } from '../../../outrigger/meta/v1/GetResponse.ts';
import type { ListRequestInput as _outrigger_meta_v1_ListRequestInput, ListRequest as _outrigger_meta_v1_ListRequest } from '../../../outrigger/meta/v1/ListRequest.ts';
import type { ListResponseInput as _outrigger_meta_v1_ListResponseInput, ListResponse as _outrigger_meta_v1_ListResponse } from '../../../outrigger/meta/v1/ListResponse.ts';
import type { WriteRequestInput as _outrigger_meta_v1_WriteRequestInput, WriteRequest as _outrigger_meta_v1_WriteRequest } from '../../../outrigger/meta/v1/WriteRequest.ts';
import type { WriteResponseInput as _outrigger_meta_v1_WriteResponseInput, WriteResponse as _outrigger_meta_v1_WriteResponse } from '../../../outrigger/meta/v1/WriteResponse.ts';

export interface MetaServiceClient extends grpc.Client {
  Count(argument: _outrigger_meta_v1_CountRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_CountResponse>): grpc.ClientUnaryCall;
  Count(argument: _outrigger_meta_v1_CountRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_meta_v1_CountResponse>): grpc.ClientUnaryCall;
  Count(argument: _outrigger_meta_v1_CountRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_CountResponse>): grpc.ClientUnaryCall;
  Count(argument: _outrigger_meta_v1_CountRequestInput, callback: grpc.requestCallback<_outrigger_meta_v1_CountResponse>): grpc.ClientUnaryCall;
  count(argument: _outrigger_meta_v1_CountRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_CountResponse>): grpc.ClientUnaryCall;
  count(argument: _outrigger_meta_v1_CountRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_meta_v1_CountResponse>): grpc.ClientUnaryCall;
  count(argument: _outrigger_meta_v1_CountRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_CountResponse>): grpc.ClientUnaryCall;
  count(argument: _outrigger_meta_v1_CountRequestInput, callback: grpc.requestCallback<_outrigger_meta_v1_CountResponse>): grpc.ClientUnaryCall;
  
  Get(argument: _outrigger_meta_v1_GetRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_GetResponse>): grpc.ClientUnaryCall;
  Get(argument: _outrigger_meta_v1_GetRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_meta_v1_GetResponse>): grpc.ClientUnaryCall;
  Get(argument: _outrigger_meta_v1_GetRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_GetResponse>): grpc.ClientUnaryCall;
  Get(argument: _outrigger_meta_v1_GetRequestInput, callback: grpc.requestCallback<_outrigger_meta_v1_GetResponse>): grpc.ClientUnaryCall;
  get(argument: _outrigger_meta_v1_GetRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_GetResponse>): grpc.ClientUnaryCall;
  get(argument: _outrigger_meta_v1_GetRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_meta_v1_GetResponse>): grpc.ClientUnaryCall;
  get(argument: _outrigger_meta_v1_GetRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_GetResponse>): grpc.ClientUnaryCall;
  get(argument: _outrigger_meta_v1_GetRequestInput, callback: grpc.requestCallback<_outrigger_meta_v1_GetResponse>): grpc.ClientUnaryCall;
  
  List(argument: _outrigger_meta_v1_ListRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_ListResponse>): grpc.ClientUnaryCall;
  List(argument: _outrigger_meta_v1_ListRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_meta_v1_ListResponse>): grpc.ClientUnaryCall;
  List(argument: _outrigger_meta_v1_ListRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_ListResponse>): grpc.ClientUnaryCall;
  List(argument: _outrigger_meta_v1_ListRequestInput, callback: grpc.requestCallback<_outrigger_meta_v1_ListResponse>): grpc.ClientUnaryCall;
  list(argument: _outrigger_meta_v1_ListRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_ListResponse>): grpc.ClientUnaryCall;
  list(argument: _outrigger_meta_v1_ListRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_meta_v1_ListResponse>): grpc.ClientUnaryCall;
  list(argument: _outrigger_meta_v1_ListRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_ListResponse>): grpc.ClientUnaryCall;
  list(argument: _outrigger_meta_v1_ListRequestInput, callback: grpc.requestCallback<_outrigger_meta_v1_ListResponse>): grpc.ClientUnaryCall;
  
  Write(argument: _outrigger_meta_v1_WriteRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_WriteResponse>): grpc.ClientUnaryCall;
  Write(argument: _outrigger_meta_v1_WriteRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_meta_v1_WriteResponse>): grpc.ClientUnaryCall;
  Write(argument: _outrigger_meta_v1_WriteRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_WriteResponse>): grpc.ClientUnaryCall;
  Write(argument: _outrigger_meta_v1_WriteRequestInput, callback: grpc.requestCallback<_outrigger_meta_v1_WriteResponse>): grpc.ClientUnaryCall;
  write(argument: _outrigger_meta_v1_WriteRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_WriteResponse>): grpc.ClientUnaryCall;
  write(argument: _outrigger_meta_v1_WriteRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_meta_v1_WriteResponse>): grpc.ClientUnaryCall;
  write(argument: _outrigger_meta_v1_WriteRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_meta_v1_WriteResponse>): grpc.ClientUnaryCall;
  write(argument: _outrigger_meta_v1_WriteRequestInput, callback: grpc.requestCallback<_outrigger_meta_v1_WriteResponse>): grpc.ClientUnaryCall;
  
}

export interface MetaServiceHandlers extends grpc.UntypedServiceImplementation {
  Count: grpc.handleUnaryCall<_outrigger_meta_v1_CountRequest, _outrigger_meta_v1_CountResponseInput>;
  
  Get: grpc.handleUnaryCall<_outrigger_meta_v1_GetRequest, _outrigger_meta_v1_GetResponseInput>;
  
  List: grpc.handleUnaryCall<_outrigger_meta_v1_ListRequest, _outrigger_meta_v1_ListResponseInput>;
  
  Write: grpc.handleUnaryCall<_outrigger_meta_v1_WriteRequest, _outrigger_meta_v1_WriteResponseInput>;
  
}

export interface MetaServiceDefinition extends grpc.ServiceDefinition {
  Count: MethodDefinition<_outrigger_meta_v1_CountRequestInput, _outrigger_meta_v1_CountResponseInput, _outrigger_meta_v1_CountRequest, _outrigger_meta_v1_CountResponse>
  Get: MethodDefinition<_outrigger_meta_v1_GetRequestInput, _outrigger_meta_v1_GetResponseInput, _outrigger_meta_v1_GetRequest, _outrigger_meta_v1_GetResponse>
  List: MethodDefinition<_outrigger_meta_v1_ListRequestInput, _outrigger_meta_v1_ListResponseInput, _outrigger_meta_v1_ListRequest, _outrigger_meta_v1_ListResponse>
  Write: MethodDefinition<_outrigger_meta_v1_WriteRequestInput, _outrigger_meta_v1_WriteResponseInput, _outrigger_meta_v1_WriteRequest, _outrigger_meta_v1_WriteResponse>
}
