// Original file: proto/outrigger/scan/v1/scan.proto

export const Severity = {
  SEVERITY_UNSPECIFIED: 'SEVERITY_UNSPECIFIED',
  SEVERITY_UNKNOWN: 'SEVERITY_UNKNOWN',
  SEVERITY_LOW: 'SEVERITY_LOW',
  SEVERITY_MEDIUM: 'SEVERITY_MEDIUM',
  SEVERITY_HIGH: 'SEVERITY_HIGH',
  SEVERITY_CRITICAL: 'SEVERITY_CRITICAL',
} as const;

export type SeverityInput =
  | 'SEVERITY_UNSPECIFIED'
  | 0
  | 'SEVERITY_UNKNOWN'
  | 1
  | 'SEVERITY_LOW'
  | 2
  | 'SEVERITY_MEDIUM'
  | 3
  | 'SEVERITY_HIGH'
  | 4
  | 'SEVERITY_CRITICAL'
  | 5

export type Severity = typeof Severity[keyof typeof Severity]
