// Original file: proto/outrigger/scan/v1/scan.proto

import type { ScanStateInput as _outrigger_scan_v1_ScanStateInput, ScanState as _outrigger_scan_v1_ScanState } from '../../../outrigger/scan/v1/ScanState.ts';
import type { VulnerabilityInput as _outrigger_scan_v1_VulnerabilityInput, Vulnerability as _outrigger_scan_v1_Vulnerability } from '../../../outrigger/scan/v1/Vulnerability.ts';

export interface ScanResponseInput {
  'digest'?: (string);
  'state'?: (_outrigger_scan_v1_ScanStateInput);
  'vulnerabilities'?: (_outrigger_scan_v1_VulnerabilityInput)[];
  'more'?: (boolean);
  'message'?: (string);
}

export interface ScanResponse {
  'digest': (string);
  'state': (_outrigger_scan_v1_ScanState);
  'vulnerabilities': (_outrigger_scan_v1_Vulnerability)[];
  'more': (boolean);
  'message': (string);
}
