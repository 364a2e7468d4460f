// Original file: proto/outrigger/blob/v1/blob.proto


export interface AbortUploadResponseInput {
}

export interface AbortUploadResponse {
}
