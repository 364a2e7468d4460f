// Original file: proto/outrigger/meta/v1/meta.proto


export interface GetRequestInput {
  'keys'?: (string)[];
}

export interface GetRequest {
  'keys': (string)[];
}
