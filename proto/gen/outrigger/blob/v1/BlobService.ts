// Original file: proto/outrigger/blob/v1/blob.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { AbortUploadRequestInput as _outrigger_blob_v1_AbortUploadRequestInput, AbortUploadRequest as _outrigger_blob_v1_AbortUploadRequest } from '../../../outrigger/blob/v1/AbortUploadRequest.ts';
import type { AbortUploadResponseInput as _outrigger_blob_v1_AbortUploadResponseInput, AbortUploadResponse as _outrigger_blob_v1_AbortUploadResponse } from '../../../outrigger/blob/v1/AbortUploadResponse.ts';
import type { AppendRequestInput as _outrigger_blob_v1_AppendRequestInput, AppendRequest as _outrigger_blob_v1_AppendRequest } from '../../../outrigger/blob/v1/AppendRequest.ts';
import type { AppendResponseInput as _outrigger_blob_v1_AppendResponseInput, AppendResponse as _outrigger_blob_v1_AppendResponse } from '../../../outrigger/blob/v1/AppendResponse.ts';
import type { CountRequestInput as _outrigger_blob_v1_CountRequestInput, CountRequest as _outrigger_blob_v1_CountRequest } from '../../../outrigger/blob/v1/CountRequest.ts';
import type { CountResponseInput as _outrigger_blob_v1_CountResponseInput, CountResponse as _outrigger_blob_v1_CountResponse } from '../../../outrigger/blob/v1/CountResponse.ts';
import type { DeleteRequestInput as _outrigger_blob_v1_DeleteRequestInput, DeleteRequest as _outrigger_blob_v1_DeleteRequest } from '../../../outrigger/blob/v1/DeleteRequest.ts';
import type { DeleteResponseInput as _outrigger_blob_v1_DeleteResponseInput, DeleteResponse as _outrigger_blob_v1_DeleteResponse } from '../../../outrigger/blob/v1/DeleteResponse.ts';
import type { GetUploadRequestInput as _outrigger_blob_v1_GetUploadRequestInput, GetUploadRequest as _outrigger_blob_v1_GetUploadRequest } from '../../../outrigger/blob/v1/GetUploadRequest.ts';
import type { GetUploadResponseInput as _outrigger_blob_v1_GetUploadResponseInput, GetUploadResponse as _outrigger_blob_v1_GetUploadResponse } from '../../../outrigger/blob/v1/GetUploadResponse.ts';
import type { ListRequestInput as _outrigger_blob_v1_ListRequestInput, ListRequest as _outrigger_blob_v1_ListRequest } from '../../../outrigger/blob/v1/ListRequest.ts';
import type { ListResponseInput as _outrigger_blob_v1_ListResponseInput, ListResponse as _outrigger_blob_v1_ListResponse } from '../../../outrigger/blob/v1/ListResponse.ts';
import type { ListUploadsRequestInput as _outrigger_blob_v1_ListUploadsRequestInput, ListUploadsRequest as _outrigger_blob_v1_ListUploadsRequest } from '../../../outrigger/blob/v1/ListUploadsRequest.ts';
import type { ListUploadsResponseInput as _outrigger_blob_v1_ListUploadsResponseInput, ListUploadsResponse as _outrigger_blob_v1_ListUploadsResponse } from '../../../outrigger/blob/v1/ListUploadsResponse.ts';
import type { LocateFileRequestInput as _outrigger_blob_v1_LocateFileRequestInput, LocateFileRequest as _outrigger_blob_v1_LocateFileRequest } from '../../../outrigger/blob/v1/LocateFileRequest.ts';
import type { LocateFileResponseInput as _outrigger_blob_v1_LocateFileResponseInput, LocateFileResponse as _outrigger_blob_v1_LocateFileResponse } from '../../../outrigger/blob/v1/LocateFileResponse.ts';
import type { MoveRequestInput as _outrigger_blob_v1_MoveRequestInput, MoveRequest as _outrigger_blob_v1_MoveRequest } from '../../../outrigger/blob/v1/MoveRequest.ts';
import type { MoveResponseInput as _outrigger_blob_v1_MoveResponseInput, MoveResponse as _outrigger_blob_v1_MoveResponse } from '../../../outrigger/blob/v1/MoveResponse.ts';
import type { PutRequestInput as _outrigger_blob_v1_PutRequestInput, PutRequest as _outrigger_blob_v1_PutRequest } from '../../../outrigger/blob/v1/PutRequest.ts';
import type { PutResponseInput as _outrigger_blob_v1_PutResponseInput, PutResponse as _outrigger_blob_v1_PutResponse } from '../../../outrigger/blob/v1/PutResponse.ts';
import type { ReadRequestInput as _outrigger_blob_v1_ReadRequestInput, ReadRequest as _outrigger_blob_v1_ReadRequest } from '../../../outrigger/blob/v1/ReadRequest.ts';
import type { ReadResponseInput as _outrigger_blob_v1_ReadResponseInput, ReadResponse as _outrigger_blob_v1_ReadResponse } from '../../../outrigger/blob/v1/ReadResponse.ts';
import type { SignUrlRequestInput as _outrigger_blob_v1_SignUrlRequestInput, SignUrlRequest as _outrigger_blob_v1_SignUrlRequest } from '../../../outrigger/blob/v1/SignUrlRequest.ts';
import type { SignUrlResponseInput as _outrigger_blob_v1_SignUrlResponseInput, SignUrlResponse as _outrigger_blob_v1_SignUrlResponse } from '../../../outrigger/blob/v1/SignUrlResponse.ts';
import type { StatRequestInput as _outrigger_blob_v1_StatRequestInput, StatRequest as _outrigger_blob_v1_StatRequest } from '../../../outrigger/blob/v1/StatRequest.ts';
import type { StatResponseInput as _outrigger_blob_v1_StatResponseInput, StatResponse as _outrigger_blob_v1_StatResponse } from '../../../outrigger/blob/v1/StatResponse.ts';

export interface BlobServiceClient extends grpc.Client {
  AbortUpload(argument: _outrigger_blob_v1_AbortUploadRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_AbortUploadResponse>): grpc.ClientUnaryCall;
  AbortUpload(argument: _outrigger_blob_v1_AbortUploadRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_AbortUploadResponse>): grpc.ClientUnaryCall;
  AbortUpload(argument: _outrigger_blob_v1_AbortUploadRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_AbortUploadResponse>): grpc.ClientUnaryCall;
  AbortUpload(argument: _outrigger_blob_v1_AbortUploadRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_AbortUploadResponse>): grpc.ClientUnaryCall;
  abortUpload(argument: _outrigger_blob_v1_AbortUploadRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_AbortUploadResponse>): grpc.ClientUnaryCall;
  abortUpload(argument: _outrigger_blob_v1_AbortUploadRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_AbortUploadResponse>): grpc.ClientUnaryCall;
  abortUpload(argument: _outrigger_blob_v1_AbortUploadRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_AbortUploadResponse>): grpc.ClientUnaryCall;
  abortUpload(argument: _outrigger_blob_v1_AbortUploadRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_AbortUploadResponse>): grpc.ClientUnaryCall;
  
  Append(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_outrigger_blob_v1_AppendRequestInput, _outrigger_blob_v1_AppendResponse>;
  Append(options?: grpc.CallOptions): grpc.ClientDuplexStream<_outrigger_blob_v1_AppendRequestInput, _outrigger_blob_v1_AppendResponse>;
  append(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_outrigger_blob_v1_AppendRequestInput, _outrigger_blob_v1_AppendResponse>;
  append(options?: grpc.CallOptions): grpc.ClientDuplexStream<_outrigger_blob_v1_AppendRequestInput, _outrigger_blob_v1_AppendResponse>;
  
  Count(argument: _outrigger_blob_v1_CountRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_CountResponse>): grpc.ClientUnaryCall;
  Count(argument: _outrigger_blob_v1_CountRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_CountResponse>): grpc.ClientUnaryCall;
  Count(argument: _outrigger_blob_v1_CountRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_CountResponse>): grpc.ClientUnaryCall;
  Count(argument: _outrigger_blob_v1_CountRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_CountResponse>): grpc.ClientUnaryCall;
  count(argument: _outrigger_blob_v1_CountRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_CountResponse>): grpc.ClientUnaryCall;
  count(argument: _outrigger_blob_v1_CountRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_CountResponse>): grpc.ClientUnaryCall;
  count(argument: _outrigger_blob_v1_CountRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_CountResponse>): grpc.ClientUnaryCall;
  count(argument: _outrigger_blob_v1_CountRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_CountResponse>): grpc.ClientUnaryCall;
  
  Delete(argument: _outrigger_blob_v1_DeleteRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_DeleteResponse>): grpc.ClientUnaryCall;
  Delete(argument: _outrigger_blob_v1_DeleteRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_DeleteResponse>): grpc.ClientUnaryCall;
  Delete(argument: _outrigger_blob_v1_DeleteRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_DeleteResponse>): grpc.ClientUnaryCall;
  Delete(argument: _outrigger_blob_v1_DeleteRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_DeleteResponse>): grpc.ClientUnaryCall;
  delete(argument: _outrigger_blob_v1_DeleteRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_DeleteResponse>): grpc.ClientUnaryCall;
  delete(argument: _outrigger_blob_v1_DeleteRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_DeleteResponse>): grpc.ClientUnaryCall;
  delete(argument: _outrigger_blob_v1_DeleteRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_DeleteResponse>): grpc.ClientUnaryCall;
  delete(argument: _outrigger_blob_v1_DeleteRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_DeleteResponse>): grpc.ClientUnaryCall;
  
  GetUpload(argument: _outrigger_blob_v1_GetUploadRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_GetUploadResponse>): grpc.ClientUnaryCall;
  GetUpload(argument: _outrigger_blob_v1_GetUploadRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_GetUploadResponse>): grpc.ClientUnaryCall;
  GetUpload(argument: _outrigger_blob_v1_GetUploadRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_GetUploadResponse>): grpc.ClientUnaryCall;
  GetUpload(argument: _outrigger_blob_v1_GetUploadRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_GetUploadResponse>): grpc.ClientUnaryCall;
  getUpload(argument: _outrigger_blob_v1_GetUploadRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_GetUploadResponse>): grpc.ClientUnaryCall;
  getUpload(argument: _outrigger_blob_v1_GetUploadRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_GetUploadResponse>): grpc.ClientUnaryCall;
  getUpload(argument: _outrigger_blob_v1_GetUploadRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_GetUploadResponse>): grpc.ClientUnaryCall;
  getUpload(argument: _outrigger_blob_v1_GetUploadRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_GetUploadResponse>): grpc.ClientUnaryCall;
  
  List(argument: _outrigger_blob_v1_ListRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_ListResponse>): grpc.ClientUnaryCall;
  List(argument: _outrigger_blob_v1_ListRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_ListResponse>): grpc.ClientUnaryCall;
  List(argument: _outrigger_blob_v1_ListRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_ListResponse>): grpc.ClientUnaryCall;
  List(argument: _outrigger_blob_v1_ListRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_ListResponse>): grpc.ClientUnaryCall;
  list(argument: _outrigger_blob_v1_ListRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_ListResponse>): grpc.ClientUnaryCall;
  list(argument: _outrigger_blob_v1_ListRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_ListResponse>): grpc.ClientUnaryCall;
  list(argument: _outrigger_blob_v1_ListRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_ListResponse>): grpc.ClientUnaryCall;
  list(argument: _outrigger_blob_v1_ListRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_ListResponse>): grpc.ClientUnaryCall;
  
  ListUploads(argument: _outrigger_blob_v1_ListUploadsRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_ListUploadsResponse>): grpc.ClientUnaryCall;
  ListUploads(argument: _outrigger_blob_v1_ListUploadsRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_ListUploadsResponse>): grpc.ClientUnaryCall;
  ListUploads(argument: _outrigger_blob_v1_ListUploadsRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_ListUploadsResponse>): grpc.ClientUnaryCall;
  ListUploads(argument: _outrigger_blob_v1_ListUploadsRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_ListUploadsResponse>): grpc.ClientUnaryCall;
  listUploads(argument: _outrigger_blob_v1_ListUploadsRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_ListUploadsResponse>): grpc.ClientUnaryCall;
  listUploads(argument: _outrigger_blob_v1_ListUploadsRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_ListUploadsResponse>): grpc.ClientUnaryCall;
  listUploads(argument: _outrigger_blob_v1_ListUploadsRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_ListUploadsResponse>): grpc.ClientUnaryCall;
  listUploads(argument: _outrigger_blob_v1_ListUploadsRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_ListUploadsResponse>): grpc.ClientUnaryCall;
  
  LocateFile(argument: _outrigger_blob_v1_LocateFileRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_LocateFileResponse>): grpc.ClientUnaryCall;
  LocateFile(argument: _outrigger_blob_v1_LocateFileRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_LocateFileResponse>): grpc.ClientUnaryCall;
  LocateFile(argument: _outrigger_blob_v1_LocateFileRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_LocateFileResponse>): grpc.ClientUnaryCall;
  LocateFile(argument: _outrigger_blob_v1_LocateFileRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_LocateFileResponse>): grpc.ClientUnaryCall;
  locateFile(argument: _outrigger_blob_v1_LocateFileRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_LocateFileResponse>): grpc.ClientUnaryCall;
  locateFile(argument: _outrigger_blob_v1_LocateFileRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_LocateFileResponse>): grpc.ClientUnaryCall;
  locateFile(argument: _outrigger_blob_v1_LocateFileRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_LocateFileResponse>): grpc.ClientUnaryCall;
  locateFile(argument: _outrigger_blob_v1_LocateFileRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_LocateFileResponse>): grpc.ClientUnaryCall;
  
  Move(argument: _outrigger_blob_v1_MoveRequestInput, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_outrigger_blob_v1_MoveResponse>;
  Move(argument: _outrigger_blob_v1_MoveRequestInput, options?: grpc.CallOptions): grpc.ClientReadableStream<_outrigger_blob_v1_MoveResponse>;
  move(argument: _outrigger_blob_v1_MoveRequestInput, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_outrigger_blob_v1_MoveResponse>;
  move(argument: _outrigger_blob_v1_MoveRequestInput, options?: grpc.CallOptions): grpc.ClientReadableStream<_outrigger_blob_v1_MoveResponse>;
  
  Put(argument: _outrigger_blob_v1_PutRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_PutResponse>): grpc.ClientUnaryCall;
  Put(argument: _outrigger_blob_v1_PutRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_PutResponse>): grpc.ClientUnaryCall;
  Put(argument: _outrigger_blob_v1_PutRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_PutResponse>): grpc.ClientUnaryCall;
  Put(argument: _outrigger_blob_v1_PutRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_PutResponse>): grpc.ClientUnaryCall;
  put(argument: _outrigger_blob_v1_PutRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_PutResponse>): grpc.ClientUnaryCall;
  put(argument: _outrigger_blob_v1_PutRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_PutResponse>): grpc.ClientUnaryCall;
  put(argument: _outrigger_blob_v1_PutRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_PutResponse>): grpc.ClientUnaryCall;
  put(argument: _outrigger_blob_v1_PutRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_PutResponse>): grpc.ClientUnaryCall;
  
  Read(argument: _outrigger_blob_v1_ReadRequestInput, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_outrigger_blob_v1_ReadResponse>;
  Read(argument: _outrigger_blob_v1_ReadRequestInput, options?: grpc.CallOptions): grpc.ClientReadableStream<_outrigger_blob_v1_ReadResponse>;
  read(argument: _outrigger_blob_v1_ReadRequestInput, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_outrigger_blob_v1_ReadResponse>;
  read(argument: _outrigger_blob_v1_ReadRequestInput, options?: grpc.CallOptions): grpc.ClientReadableStream<_outrigger_blob_v1_ReadResponse>;
  
  SignUrl(argument: _outrigger_blob_v1_SignUrlRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_SignUrlResponse>): grpc.ClientUnaryCall;
  SignUrl(argument: _outrigger_blob_v1_SignUrlRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_SignUrlResponse>): grpc.ClientUnaryCall;
  SignUrl(argument: _outrigger_blob_v1_SignUrlRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_SignUrlResponse>): grpc.ClientUnaryCall;
  SignUrl(argument: _outrigger_blob_v1_SignUrlRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_SignUrlResponse>): grpc.ClientUnaryCall;
  signUrl(argument: _outrigger_blob_v1_SignUrlRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_SignUrlResponse>): grpc.ClientUnaryCall;
  signUrl(argument: _outrigger_blob_v1_SignUrlRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_SignUrlResponse>): grpc.ClientUnaryCall;
  signUrl(argument: _outrigger_blob_v1_SignUrlRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_SignUrlResponse>): grpc.ClientUnaryCall;
  signUrl(argument: _outrigger_blob_v1_SignUrlRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_SignUrlResponse>): grpc.ClientUnaryCall;
  
  Stat(argument: _outrigger_blob_v1_StatRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_StatResponse>): grpc.ClientUnaryCall;
  Stat(argument: _outrigger_blob_v1_StatRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_StatResponse>): grpc.ClientUnaryCall;
  Stat(argument: _outrigger_blob_v1_StatRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_StatResponse>): grpc.ClientUnaryCall;
  Stat(argument: _outrigger_blob_v1_StatRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_StatResponse>): grpc.ClientUnaryCall;
  stat(argument: _outrigger_blob_v1_StatRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_StatResponse>): grpc.ClientUnaryCall;
  stat(argument: _outrigger_blob_v1_StatRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_outrigger_blob_v1_StatResponse>): grpc.ClientUnaryCall;
  stat(argument: _outrigger_blob_v1_StatRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_outrigger_blob_v1_StatResponse>): grpc.ClientUnaryCall;
  stat(argument: _outrigger_blob_v1_StatRequestInput, callback: grpc.requestCallback<_outrigger_blob_v1_StatResponse>): grpc.ClientUnaryCall;
  
}

export interface BlobServiceHandlers extends grpc.UntypedServiceImplementation {
  AbortUpload: grpc.handleUnaryCall<_outrigger_blob_v1_AbortUploadRequest, _outrigger_blob_v1_AbortUploadResponseInput>;
  
  Append: grpc.handleBidiStreamingCall<_outrigger_blob_v1_AppendRequest, _outrigger_blob_v1_AppendResponseInput>;
  
  Count: grpc.handleUnaryCall<_outrigger_blob_v1_CountRequest, _outrigger_blob_v1_CountResponseInput>;
  
  Delete: grpc.handleUnaryCall<_outrigger_blob_v1_DeleteRequest, _outrigger_blob_v1_DeleteResponseInput>;
  
  GetUpload: grpc.handleUnaryCall<_outrigger_blob_v1_GetUploadRequest, _outrigger_blob_v1_GetUploadResponseInput>;
  
  List: grpc.handleUnaryCall<_outrigger_blob_v1_ListRequest, _outrigger_blob_v1_ListResponseInput>;
  
  ListUploads: grpc.handleUnaryCall<_outrigger_blob_v1_ListUploadsRequest, _outrigger_blob_v1_ListUploadsResponseInput>;
  
  LocateFile: grpc.handleUnaryCall<_outrigger_blob_v1_LocateFileRequest, _outrigger_blob_v1_LocateFileResponseInput>;
  
  Move: grpc.handleServerStreamingCall<_outrigger_blob_v1_MoveRequest, _outrigger_blob_v1_MoveResponseInput>;
  
  Put: grpc.handleUnaryCall<_outrigger_blob_v1_PutRequest, _outrigger_blob_v1_PutResponseInput>;
  
  Read: grpc.handleServerStreamingCall<_outrigger_blob_v1_ReadRequest, _outrigger_blob_v1_ReadResponseInput>;
  
  SignUrl: grpc.handleUnaryCall<_outrigger_blob_v1_SignUrlRequest, _outrigger_blob_v1_SignUrlResponseInput>;
  
  Stat: grpc.handleUnaryCall<_outrigger_blob_v1_StatRequest, _outrigger_blob_v1_StatResponseInput>;
  
}

export interface BlobServiceDefinition extends grpc.ServiceDefinition {
  AbortUpload: MethodDefinition<_outrigger_blob_v1_AbortUploadRequestInput, _outrigger_blob_v1_AbortUploadResponseInput, _outrigger_blob_v1_AbortUploadRequest, _outrigger_blob_v1_AbortUploadResponse>
  Append: MethodDefinition<_outrigger_blob_v1_AppendRequestInput, _outrigger_blob_v1_AppendResponseInput, _outrigger_blob_v1_AppendRequest, _outrigger_blob_v1_AppendResponse>
  Count: MethodDefinition<_outrigger_blob_v1_CountRequestInput, _outrigger_blob_v1_CountResponseInput, _outrigger_blob_v1_CountRequest, _outrigger_blob_v1_CountResponse>
  Delete: MethodDefinition<_outrigger_blob_v1_DeleteRequestInput, _outrigger_blob_v1_DeleteResponseInput, _outrigger_blob_v1_DeleteRequest, _outrigger_blob_v1_DeleteResponse>
  GetUpload: MethodDefinition<_outrigger_blob_v1_GetUploadRequestInput, _outrigger_blob_v1_GetUploadResponseInput, _outrigger_blob_v1_GetUploadRequest, _outrigger_blob_v1_GetUploadResponse>
  List: MethodDefinition<_outrigger_blob_v1_ListRequestInput, _outrigger_blob_v1_ListResponseInput, _outrigger_blob_v1_ListRequest, _outrigger_blob_v1_ListResponse>
  ListUploads: MethodDefinition<_outrigger_blob_v1_ListUploadsRequestInput, _outrigger_blob_v1_ListUploadsResponseInput, _outrigger_blob_v1_ListUploadsRequest, _outrigger_blob_v1_ListUploadsResponse>
  LocateFile: MethodDefinition<_outrigger_blob_v1_LocateFileRequestInput, _outrigger_blob_v1_LocateFileResponseInput, _outrigger_blob_v1_LocateFileRequest, _outrigger_blob_v1_LocateFileResponse>
  Move: MethodDefinition<_outrigger_blob_v1_MoveRequestInput, _outrigger_blob_v1_MoveResponseInput, _outrigger_blob_v1_MoveRequest, _outrigger_blob_v1_MoveResponse>
  Put: MethodDefinition<_outrigger_blob_v1_PutRequestInput, _outrigger_blob_v1_PutResponseInput, _outrigger_blob_v1_PutRequest, _outrigger_blob_v1_PutResponse>
  Read: MethodDefinition<_outrigger_blob_v1_ReadRequestInput, _outrigger_blob_v1_ReadResponseInput, _outrigger_blob_v1_ReadRequest, _outrigger_blob_v1_ReadResponse>
  SignUrl: MethodDefinition<_outrigger_blob_v1_SignUrlRequestInput, _outrigger_blob_v1_SignUrlResponseInput, _outrigger_blob_v1_SignUrlRequest, _outrigger_blob_v1_SignUrlResponse>
  Stat: MethodDefinition<_outrigger_blob_v1_StatRequestInput, _outrigger_blob_v1_StatResponseInput, _outrigger_blob_v1_StatRequest, _outrigger_blob_v1_StatResponse>
}
