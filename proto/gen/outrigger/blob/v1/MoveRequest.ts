// Original file: proto/outrigger/blob/v1/blob.proto


export interface MoveRequestInput {
  'source'?: (string);
  'destination'?: (string);
}

export interface MoveRequest {
  'source': (string);
  'destination': (string);
}
