// Original file: proto/outrigger/scan/v1/scan.proto


export interface AffectedResponseInput {
  'digests'?: (string)[];
  'more'?: (boolean);
}

export interface AffectedResponse {
  'digests': (string)[];
  'more': (boolean);
}
