// Original file: proto/outrigger/scan/v1/scan.proto

import type { ImageInput as _outrigger_scan_v1_ImageInput, Image as _outrigger_scan_v1_Image } from '../../../outrigger/scan/v1/Image.ts';

export interface ScanRequestInput {
  'image'?: (_outrigger_scan_v1_ImageInput | null);
  'startAfter'?: (string);
  'limit'?: (number);
  'knownOnly'?: (boolean);
}

export interface ScanRequest {
  'image': (_outrigger_scan_v1_Image | null);
  'startAfter': (string);
  'limit': (number);
  'knownOnly': (boolean);
}
