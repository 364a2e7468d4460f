// Original file: proto/outrigger/scan/v1/scan.proto


export interface ImageInput {
  'repository'?: (string);
  'digest'?: (string);
  'mediaType'?: (string);
}

export interface Image {
  'repository': (string);
  'digest': (string);
  'mediaType': (string);
}
