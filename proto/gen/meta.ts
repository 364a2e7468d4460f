import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { AbsentInput as _outrigger_meta_v1_AbsentInput, Absent as _outrigger_meta_v1_Absent } from './outrigger/meta/v1/Absent.ts';
import type { CheckInput as _outrigger_meta_v1_CheckInput, Check as _outrigger_meta_v1_Check } from './outrigger/meta/v1/Check.ts';
import type { CountRequestInput as _outrigger_meta_v1_CountRequestInput, CountRequest as _outrigger_meta_v1_CountRequest } from './outrigger/meta/v1/CountRequest.ts';
import type { CountResponseInput as _outrigger_meta_v1_CountResponseInput, CountResponse as _outrigger_meta_v1_CountResponse } from './outrigger/meta/v1/CountResponse.ts';
import type { DeleteInput as _outrigger_meta_v1_DeleteInput, Delete as _outrigger_meta_v1_Delete } from './outrigger/meta/v1/Delete.ts';
import type { GetRequestInput as _outrigger_meta_v1_GetRequestInput, GetRequest as _outrigger_meta_v1_GetRequest } from './outrigger/meta/v1/GetRequest.ts';
import type { GetResponseInput as _outrigger_meta_v1_GetResponseInput, GetResponse as _outrigger_meta_v1_GetResponse } from './outrigger/meta/v1/GetResponse.ts';
import type { GetResultInput as _outrigger_meta_v1_GetResultInput, GetResult as _outrigger_meta_v1_GetResult } from './outrigger/meta/v1/GetResult.ts';
import type { ItemInput as _outrigger_meta_v1_ItemInput, Item as _outrigger_meta_v1_Item } from './outrigger/meta/v1/Item.ts';
import type { ListRequestInput as _outrigger_meta_v1_ListRequestInput, ListRequest as _outrigger_meta_v1_ListRequest } from './outrigger/meta/v1/ListRequest.ts';
import type { ListResponseInput as _outrigger_meta_v1_ListResponseInput, ListResponse as _outrigger_meta_v1_ListResponse } from './outrigger/meta/v1/ListResponse.ts';
import type { MetaServiceClient as _outrigger_meta_v1_MetaServiceClient, MetaServiceDefinition as _outrigger_meta_v1_MetaServiceDefinition } from './outrigger/meta/v1/MetaService.ts';
import type { OperationInput as _outrigger_meta_v1_OperationInput, Operation as _outrigger_meta_v1_Operation } from './outrigger/meta/v1/Operation.ts';
import type { PresentInput as _outrigger_meta_v1_PresentInput, Present as _outrigger_meta_v1_Present } from './outrigger/meta/v1/Present.ts';
import type { WriteRequestInput as _outrigger_meta_v1_WriteRequestInput, WriteRequest as _outrigger_meta_v1_WriteRequest } from './outrigger/meta/v1/WriteRequest.ts';
import type { WriteResponseInput as _outrigger_meta_v1_WriteResponseInput, WriteResponse as _outrigger_meta_v1_WriteResponse } from './outrigger/meta/v1/WriteResponse.ts';
import type { WriteResultInput as _outrigger_meta_v1_WriteResultInput, WriteResult as _outrigger_meta_v1_WriteResult } from './outrigger/meta/v1/WriteResult.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  outrigger: {
    meta: {
      v1: {
        Absent: MessageTypeDefinition<_outrigger_meta_v1_AbsentInput, _outrigger_meta_v1_Absent>
        Check: MessageTypeDefinition<_outrigger_meta_v1_CheckInput, _outrigger_meta_v1_Check>
        CountRequest: MessageTypeDefinition<_outrigger_meta_v1_CountRequestInput, _outrigger_meta_v1_CountRequest>
        CountResponse: MessageTypeDefinition<_outrigger_meta_v1_CountResponseInput, _outrigger_meta_v1_CountResponse>
        Delete: MessageTypeDefinition<_outrigger_meta_v1_DeleteInput, _outrigger_meta_v1_Delete>
        GetRequest: MessageTypeDefinition<_outrigger_meta_v1_GetRequestInput, _outrigger_meta_v1_GetRequest>
        GetResponse: MessageTypeDefinition<_outrigger_meta_v1_GetResponseInput, _outrigger_meta_v1_GetResponse>
        GetResult: MessageTypeDefinition<_outrigger_meta_v1_GetResultInput, _outrigger_meta_v1_GetResult>
        Item: MessageTypeDefinition<_outrigger_meta_v1_ItemInput, _outrigger_meta_v1_Item>
        ListRequest: MessageTypeDefinition<_outrigger_meta_v1_ListRequestInput, _outrigger_meta_v1_ListRequest>
        ListResponse: MessageTypeDefinition<_outrigger_meta_v1_ListResponseInput, _outrigger_meta_v1_ListResponse>
        MetaService: SubtypeConstructor<typeof grpc.Client, _outrigger_meta_v1_MetaServiceClient> & { service: _outrigger_meta_v1_MetaServiceDefinition }
        Operation: MessageTypeDefinition<_outrigger_meta_v1_OperationInput, _outrigger_meta_v1_Operation>
        Present: MessageTypeDefinition<_outrigger_meta_v1_PresentInput, _outrigger_meta_v1_Present>
        WriteRequest: MessageTypeDefinition<_outrigger_meta_v1_WriteRequestInput, _outrigger_meta_v1_WriteRequest>
        WriteResponse: MessageTypeDefinition<_outrigger_meta_v1_WriteResponseInput, _outrigger_meta_v1_WriteResponse>
        WriteResult: MessageTypeDefinition<_outrigger_meta_v1_WriteResultInput, _outrigger_meta_v1_WriteResult>
      }
    }
  }
}

