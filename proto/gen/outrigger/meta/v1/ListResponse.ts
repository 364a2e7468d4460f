// Original file: proto/outrigger/meta/v1/meta.proto

import type { ItemInput as _outrigger_meta_v1_ItemInput, Item as _outrigger_meta_v1_Item } from '../../../outrigger/meta/v1/Item.ts';

export interface ListResponseInput {
  'items'?: (_outrigger_meta_v1_ItemInput)[];
  'more'?: (boolean);
}

export interface ListResponse {
  'items': (_outrigger_meta_v1_Item)[];
  'more': (boolean);
}
