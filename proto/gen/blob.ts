import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { AbortUploadRequestInput as _outrigger_blob_v1_AbortUploadRequestInput, AbortUploadRequest as _outrigger_blob_v1_AbortUploadRequest } from './outrigger/blob/v1/AbortUploadRequest.ts';
import type { AbortUploadResponseInput as _outrigger_blob_v1_AbortUploadResponseInput, AbortUploadResponse as _outrigger_blob_v1_AbortUploadResponse } from './outrigger/blob/v1/AbortUploadResponse.ts';
import type { AppendRequestInput as _outrigger_blob_v1_AppendRequestInput, AppendRequest as _outrigger_blob_v1_AppendRequest } from './outrigger/blob/v1/AppendRequest.ts';
import type { AppendResponseInput as _outrigger_blob_v1_AppendResponseInput, AppendResponse as _outrigger_blob_v1_AppendResponse } from './outrigger/blob/v1/AppendResponse.ts';
import type { BlobInfoInput as _outrigger_blob_v1_BlobInfoInput, BlobInfo as _outrigger_blob_v1_BlobInfo } from './outrigger/blob/v1/BlobInfo.ts';
import type { BlobServiceClient as _outrigger_blob_v1_BlobServiceClient, BlobServiceDefinition as _outrigger_blob_v1_BlobServiceDefinition } from './outrigger/blob/v1/BlobService.ts';
import type { ChunkInput as _outrigger_blob_v1_ChunkInput, Chunk as _outrigger_blob_v1_Chunk } from './outrigger/blob/v1/Chunk.ts';
import type { CommitInput as _outrigger_blob_v1_CommitInput, Commit as _outrigger_blob_v1_Commit } from './outrigger/blob/v1/Commit.ts';
import type { CommittedInput as _outrigger_blob_v1_CommittedInput, Committed as _outrigger_blob_v1_Committed } from './outrigger/blob/v1/Committed.ts';
import type { CountRequestInput as _outrigger_blob_v1_CountRequestInput, CountRequest as _outrigger_blob_v1_CountRequest } from './outrigger/blob/v1/CountRequest.ts';
import type { CountResponseInput as _outrigger_blob_v1_CountResponseInput, CountResponse as _outrigger_blob_v1_CountResponse } from './outrigger/blob/v1/CountResponse.ts';
import type { DeleteRequestInput as _outrigger_blob_v1_DeleteRequestInput, DeleteRequest as _outrigger_blob_v1_DeleteRequest } from './outrigger/blob/v1/DeleteRequest.ts';
import type { DeleteResponseInput as _outrigger_blob_v1_DeleteResponseInput, DeleteResponse as _outrigger_blob_v1_DeleteResponse } from './outrigger/blob/v1/DeleteResponse.ts';
import type { DeleteResultInput as _outrigger_blob_v1_DeleteResultInput, DeleteResult as _outrigger_blob_v1_DeleteResult } from './outrigger/blob/v1/DeleteResult.ts';
import type { FlushInput as _outrigger_blob_v1_FlushInput, Flush as _outrigger_blob_v1_Flush } from './outrigger/blob/v1/Flush.ts';
import type { GetUploadRequestInput as _outrigger_blob_v1_GetUploadRequestInput, GetUploadRequest as _outrigger_blob_v1_GetUploadRequest } from './outrigger/blob/v1/GetUploadRequest.ts';
import type { GetUploadResponseInput as _outrigger_blob_v1_GetUploadResponseInput, GetUploadResponse as _outrigger_blob_v1_GetUploadResponse } from './outrigger/blob/v1/GetUploadResponse.ts';
import type { ListRequestInput as _outrigger_blob_v1_ListRequestInput, ListRequest as _outrigger_blob_v1_ListRequest } from './outrigger/blob/v1/ListRequest.ts';
import type { ListResponseInput as _outrigger_blob_v1_ListResponseInput, ListResponse as _outrigger_blob_v1_ListResponse } from './outrigger/blob/v1/ListResponse.ts';
import type { ListUploadsRequestInput as _outrigger_blob_v1_ListUploadsRequestInput, ListUploadsRequest as _outrigger_blob_v1_ListUploadsRequest } from './outrigger/blob/v1/ListUploadsRequest.ts';
import type { ListUploadsResponseInput as _outrigger_blob_v1_ListUploadsResponseInput, ListUploadsResponse as _outrigger_blob_v1_ListUploadsResponse } from './outrigger/blob/v1/ListUploadsResponse.ts';
import type { LocateFileRequestInput as _outrigger_blob_v1_LocateFileRequestInput, LocateFileRequest as _outrigger_blob_v1_LocateFileRequest } from './outrigger/blob/v1/LocateFileRequest.ts';
import type { LocateFileResponseInput as _outrigger_blob_v1_LocateFileResponseInput, LocateFileResponse as _outrigger_blob_v1_LocateFileResponse } from './outrigger/blob/v1/LocateFileResponse.ts';
import type { MoveRequestInput as _outrigger_blob_v1_MoveRequestInput, MoveRequest as _outrigger_blob_v1_MoveRequest } from './outrigger/blob/v1/MoveRequest.ts';
import type { MoveResponseInput as _outrigger_blob_v1_MoveResponseInput, MoveResponse as _outrigger_blob_v1_MoveResponse } from './outrigger/blob/v1/MoveResponse.ts';
import type { OpenInput as _outrigger_blob_v1_OpenInput, Open as _outrigger_blob_v1_Open } from './outrigger/blob/v1/Open.ts';
import type { OpenedInput as _outrigger_blob_v1_OpenedInput, Opened as _outrigger_blob_v1_Opened } from './outrigger/blob/v1/Opened.ts';
import type { ProgressInput as _outrigger_blob_v1_ProgressInput, Progress as _outrigger_blob_v1_Progress } from './outrigger/blob/v1/Progress.ts';
import type { PutRequestInput as _outrigger_blob_v1_PutRequestInput, PutRequest as _outrigger_blob_v1_PutRequest } from './outrigger/blob/v1/PutRequest.ts';
import type { PutResponseInput as _outrigger_blob_v1_PutResponseInput, PutResponse as _outrigger_blob_v1_PutResponse } from './outrigger/blob/v1/PutResponse.ts';
import type { ReadChunkInput as _outrigger_blob_v1_ReadChunkInput, ReadChunk as _outrigger_blob_v1_ReadChunk } from './outrigger/blob/v1/ReadChunk.ts';
import type { ReadRequestInput as _outrigger_blob_v1_ReadRequestInput, ReadRequest as _outrigger_blob_v1_ReadRequest } from './outrigger/blob/v1/ReadRequest.ts';
import type { ReadResponseInput as _outrigger_blob_v1_ReadResponseInput, ReadResponse as _outrigger_blob_v1_ReadResponse } from './outrigger/blob/v1/ReadResponse.ts';
import type { ReadStartInput as _outrigger_blob_v1_ReadStartInput, ReadStart as _outrigger_blob_v1_ReadStart } from './outrigger/blob/v1/ReadStart.ts';
import type { SignUrlRequestInput as _outrigger_blob_v1_SignUrlRequestInput, SignUrlRequest as _outrigger_blob_v1_SignUrlRequest } from './outrigger/blob/v1/SignUrlRequest.ts';
import type { SignUrlResponseInput as _outrigger_blob_v1_SignUrlResponseInput, SignUrlResponse as _outrigger_blob_v1_SignUrlResponse } from './outrigger/blob/v1/SignUrlResponse.ts';
import type { StatRequestInput as _outrigger_blob_v1_StatRequestInput, StatRequest as _outrigger_blob_v1_StatRequest } from './outrigger/blob/v1/StatRequest.ts';
import type { StatResponseInput as _outrigger_blob_v1_StatResponseInput, StatResponse as _outrigger_blob_v1_StatResponse } from './outrigger/blob/v1/StatResponse.ts';
import type { StatResultInput as _outrigger_blob_v1_StatResultInput, StatResult as _outrigger_blob_v1_StatResult } from './outrigger/blob/v1/StatResult.ts';
import type { UploadInfoInput as _outrigger_blob_v1_UploadInfoInput, UploadInfo as _outrigger_blob_v1_UploadInfo } from './outrigger/blob/v1/UploadInfo.ts';
import type { WorkingInput as _outrigger_blob_v1_WorkingInput, Working as _outrigger_blob_v1_Working } from './outrigger/blob/v1/Working.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  outrigger: {
    blob: {
      v1: {
        AbortUploadRequest: MessageTypeDefinition<_outrigger_blob_v1_AbortUploadRequestInput, _outrigger_blob_v1_AbortUploadRequest>
        AbortUploadResponse: MessageTypeDefinition<_outrigger_blob_v1_AbortUploadResponseInput, _outrigger_blob_v1_AbortUploadResponse>
        AppendRequest: MessageTypeDefinition<_outrigger_blob_v1_AppendRequestInput, _outrigger_blob_v1_AppendRequest>
        AppendResponse: MessageTypeDefinition<_outrigger_blob_v1_AppendResponseInput, _outrigger_blob_v1_AppendResponse>
        BlobInfo: MessageTypeDefinition<_outrigger_blob_v1_BlobInfoInput, _outrigger_blob_v1_BlobInfo>
        BlobService: SubtypeConstructor<typeof grpc.Client, _outrigger_blob_v1_BlobServiceClient> & { service: _outrigger_blob_v1_BlobServiceDefinition }
        Chunk: MessageTypeDefinition<_outrigger_blob_v1_ChunkInput, _outrigger_blob_v1_Chunk>
        Commit: MessageTypeDefinition<_outrigger_blob_v1_CommitInput, _outrigger_blob_v1_Commit>
        Committed: MessageTypeDefinition<_outrigger_blob_v1_CommittedInput, _outrigger_blob_v1_Committed>
        CountRequest: MessageTypeDefinition<_outrigger_blob_v1_CountRequestInput, _outrigger_blob_v1_CountRequest>
        CountResponse: MessageTypeDefinition<_outrigger_blob_v1_CountResponseInput, _outrigger_blob_v1_CountResponse>
        DeleteRequest: MessageTypeDefinition<_outrigger_blob_v1_DeleteRequestInput, _outrigger_blob_v1_DeleteRequest>
        DeleteResponse: MessageTypeDefinition<_outrigger_blob_v1_DeleteResponseInput, _outrigger_blob_v1_DeleteResponse>
        DeleteResult: MessageTypeDefinition<_outrigger_blob_v1_DeleteResultInput, _outrigger_blob_v1_DeleteResult>
        Flush: MessageTypeDefinition<_outrigger_blob_v1_FlushInput, _outrigger_blob_v1_Flush>
        GetUploadRequest: MessageTypeDefinition<_outrigger_blob_v1_GetUploadRequestInput, _outrigger_blob_v1_GetUploadRequest>
        GetUploadResponse: MessageTypeDefinition<_outrigger_blob_v1_GetUploadResponseInput, _outrigger_blob_v1_GetUploadResponse>
        ListRequest: MessageTypeDefinition<_outrigger_blob_v1_ListRequestInput, _outrigger_blob_v1_ListRequest>
        ListResponse: MessageTypeDefinition<_outrigger_blob_v1_ListResponseInput, _outrigger_blob_v1_ListResponse>
        ListUploadsRequest: MessageTypeDefinition<_outrigger_blob_v1_ListUploadsRequestInput, _outrigger_blob_v1_ListUploadsRequest>
        ListUploadsResponse: MessageTypeDefinition<_outrigger_blob_v1_ListUploadsResponseInput, _outrigger_blob_v1_ListUploadsResponse>
        LocateFileRequest: MessageTypeDefinition<_outrigger_blob_v1_LocateFileRequestInput, _outrigger_blob_v1_LocateFileRequest>
        LocateFileResponse: MessageTypeDefinition<_outrigger_blob_v1_LocateFileResponseInput, _outrigger_blob_v1_LocateFileResponse>
        MoveRequest: MessageTypeDefinition<_outrigger_blob_v1_MoveRequestInput, _outrigger_blob_v1_MoveRequest>
        MoveResponse: MessageTypeDefinition<_outrigger_blob_v1_MoveResponseInput, _outrigger_blob_v1_MoveResponse>
        Open: MessageTypeDefinition<_outrigger_blob_v1_OpenInput, _outrigger_blob_v1_Open>
        Opened: MessageTypeDefinition<_outrigger_blob_v1_OpenedInput, _outrigger_blob_v1_Opened>
        Progress: MessageTypeDefinition<_outrigger_blob_v1_ProgressInput, _outrigger_blob_v1_Progress>
        PutRequest: MessageTypeDefinition<_outrigger_blob_v1_PutRequestInput, _outrigger_blob_v1_PutRequest>
        PutResponse: MessageTypeDefinition<_outrigger_blob_v1_PutResponseInput, _outrigger_blob_v1_PutResponse>
        ReadChunk: MessageTypeDefinition<_outrigger_blob_v1_ReadChunkInput, _outrigger_blob_v1_ReadChunk>
        ReadRequest: MessageTypeDefinition<_outrigger_blob_v1_ReadRequestInput, _outrigger_blob_v1_ReadRequest>
        ReadResponse: MessageTypeDefinition<_outrigger_blob_v1_ReadResponseInput, _outrigger_blob_v1_ReadResponse>
        ReadStart: MessageTypeDefinition<_outrigger_blob_v1_ReadStartInput, _outrigger_blob_v1_ReadStart>
        SignUrlRequest: MessageTypeDefinition<_outrigger_blob_v1_SignUrlRequestInput, _outrigger_blob_v1_SignUrlRequest>
        SignUrlResponse: MessageTypeDefinition<_outrigger_blob_v1_SignUrlResponseInput, _outrigger_blob_v1_SignUrlResponse>
        StatRequest: MessageTypeDefinition<_outrigger_blob_v1_StatRequestInput, _outrigger_blob_v1_StatRequest>
        StatResponse: MessageTypeDefinition<_outrigger_blob_v1_StatResponseInput, _outrigger_blob_v1_StatResponse>
        StatResult: MessageTypeDefinition<_outrigger_blob_v1_StatResultInput, _outrigger_blob_v1_StatResult>
        UploadInfo: MessageTypeDefinition<_outrigger_blob_v1_UploadInfoInput, _outrigger_blob_v1_UploadInfo>
        Working: MessageTypeDefinition<_outrigger_blob_v1_WorkingInput, _outrigger_blob_v1_Working>
      }
    }
  }
}

