// Original file: proto/outrigger/handshake/v1/handshake.proto


export interface ApiVersionInput {
  'major'?: (number);
  'minor'?: (number);
}

export interface ApiVersion {
  'major': (number);
  'minor': (number);
}
