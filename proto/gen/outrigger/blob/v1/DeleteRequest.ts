// Original file: proto/outrigger/blob/v1/blob.proto


export interface DeleteRequestInput {
  'keys'?: (string)[];
}

export interface DeleteRequest {
  'keys': (string)[];
}
