// Original file: proto/outrigger/meta/v1/meta.proto

import type { ItemInput as _outrigger_meta_v1_ItemInput, Item as _outrigger_meta_v1_Item } from '../../../outrigger/meta/v1/Item.ts';

export interface GetResultInput {
  'key'?: (string);
  'item'?: (_outrigger_meta_v1_ItemInput | null);
  '_item'?: "item";
}

export interface GetResult {
  'key': (string);
  'item'?: (_outrigger_meta_v1_Item | null);
  '_item'?: "item";
}
