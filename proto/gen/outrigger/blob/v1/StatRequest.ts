// Original file: proto/outrigger/blob/v1/blob.proto


export interface StatRequestInput {
  'keys'?: (string)[];
}

export interface StatRequest {
  'keys': (string)[];
}
