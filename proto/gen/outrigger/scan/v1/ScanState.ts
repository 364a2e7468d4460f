// Original file: proto/outrigger/scan/v1/scan.proto

export const ScanState = {
  SCAN_STATE_UNSPECIFIED: 'SCAN_STATE_UNSPECIFIED',
  SCAN_STATE_SCANNED: 'SCAN_STATE_SCANNED',
  SCAN_STATE_PENDING: 'SCAN_STATE_PENDING',
  SCAN_STATE_UNSUPPORTED: 'SCAN_STATE_UNSUPPORTED',
  SCAN_STATE_FAILED: 'SCAN_STATE_FAILED',
} as const;

export type ScanStateInput =
  | 'SCAN_STATE_UNSPECIFIED'
  | 0
  | 'SCAN_STATE_SCANNED'
  | 1
  | 'SCAN_STATE_PENDING'
  | 2
  | 'SCAN_STATE_UNSUPPORTED'
  | 3
  | 'SCAN_STATE_FAILED'
  | 4

export type ScanState = typeof ScanState[keyof typeof ScanState]
