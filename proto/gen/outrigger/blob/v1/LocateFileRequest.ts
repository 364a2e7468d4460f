// Original file: proto/outrigger/blob/v1/blob.proto


export interface LocateFileRequestInput {
  'key'?: (string);
  'nonce'?: (string);
  'what'?: "key"|"nonce";
}

export interface LocateFileRequest {
  'key'?: (string);
  'nonce'?: (string);
  'what'?: "key"|"nonce";
}
