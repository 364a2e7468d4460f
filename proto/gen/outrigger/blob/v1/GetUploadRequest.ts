// Original file: proto/outrigger/blob/v1/blob.proto


export interface GetUploadRequestInput {
  'uploadId'?: (string);
}

export interface GetUploadRequest {
  'uploadId': (string);
}
