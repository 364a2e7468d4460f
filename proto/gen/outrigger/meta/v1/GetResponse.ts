// Original file: proto/outrigger/meta/v1/meta.proto

import type { GetResultInput as _outrigger_meta_v1_GetResultInput, GetResult as _outrigger_meta_v1_GetResult } from '../../../outrigger/meta/v1/GetResult.ts';

export interface GetResponseInput {
  'results'?: (_outrigger_meta_v1_GetResultInput)[];
  'unread'?: (string)[];
}

export interface GetResponse {
  'results': (_outrigger_meta_v1_GetResult)[];
  'unread': (string)[];
}
