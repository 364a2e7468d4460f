// Original file: proto/outrigger/blob/v1/blob.proto

import type { UploadInfoInput as _outrigger_blob_v1_UploadInfoInput, UploadInfo as _outrigger_blob_v1_UploadInfo } from '../../../outrigger/blob/v1/UploadInfo.ts';

export interface ListUploadsResponseInput {
  'uploads'?: (_outrigger_blob_v1_UploadInfoInput)[];
  'more'?: (boolean);
}

export interface ListUploadsResponse {
  'uploads': (_outrigger_blob_v1_UploadInfo)[];
  'more': (boolean);
}
