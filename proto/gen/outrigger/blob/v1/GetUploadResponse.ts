// Original file: proto/outrigger/blob/v1/blob.proto

import type { UploadInfoInput as _outrigger_blob_v1_UploadInfoInput, UploadInfo as _outrigger_blob_v1_UploadInfo } from '../../../outrigger/blob/v1/UploadInfo.ts';

export interface GetUploadResponseInput {
  'upload'?: (_outrigger_blob_v1_UploadInfoInput | null);
}

export interface GetUploadResponse {
  'upload': (_outrigger_blob_v1_UploadInfo | null);
}
