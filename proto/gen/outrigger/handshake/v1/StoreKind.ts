// Original file: proto/outrigger/handshake/v1/handshake.proto

export const StoreKind = {
  STORE_KIND_UNSPECIFIED: 'STORE_KIND_UNSPECIFIED',
  STORE_KIND_BLOB: 'STORE_KIND_BLOB',
  STORE_KIND_META: 'STORE_KIND_META',
} as const;

export type StoreKindInput =
  | 'STORE_KIND_UNSPECIFIED'
  | 0
  | 'STORE_KIND_BLOB'
  | 1
  | 'STORE_KIND_META'
  | 2

export type StoreKind = typeof StoreKind[keyof typeof StoreKind]
