// Original file: proto/outrigger/scan/v1/scan.proto


export interface AffectedRequestInput {
  'vulnerabilityId'?: (string);
  'startAfter'?: (string);
  'limit'?: (number);
}

export interface AffectedRequest {
  'vulnerabilityId': (string);
  'startAfter': (string);
  'limit': (number);
}
