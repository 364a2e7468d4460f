import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { AffectedRequestInput as _outrigger_scan_v1_AffectedRequestInput, AffectedRequest as _outrigger_scan_v1_AffectedRequest } from './outrigger/scan/v1/AffectedRequest.ts';
import type { AffectedResponseInput as _outrigger_scan_v1_AffectedResponseInput, AffectedResponse as _outrigger_scan_v1_AffectedResponse } from './outrigger/scan/v1/AffectedResponse.ts';
import type { ImageInput as _outrigger_scan_v1_ImageInput, Image as _outrigger_scan_v1_Image } from './outrigger/scan/v1/Image.ts';
import type { PackageInput as _outrigger_scan_v1_PackageInput, Package as _outrigger_scan_v1_Package } from './outrigger/scan/v1/Package.ts';
import type { ScanRequestInput as _outrigger_scan_v1_ScanRequestInput, ScanRequest as _outrigger_scan_v1_ScanRequest } from './outrigger/scan/v1/ScanRequest.ts';
import type { ScanResponseInput as _outrigger_scan_v1_ScanResponseInput, ScanResponse as _outrigger_scan_v1_ScanResponse } from './outrigger/scan/v1/ScanResponse.ts';
import type { ScanServiceClient as _outrigger_scan_v1_ScanServiceClient, ScanServiceDefinition as _outrigger_scan_v1_ScanServiceDefinition } from './outrigger/scan/v1/ScanService.ts';
import type { VulnerabilityInput as _outrigger_scan_v1_VulnerabilityInput, Vulnerability as _outrigger_scan_v1_Vulnerability } from './outrigger/scan/v1/Vulnerability.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  outrigger: {
    scan: {
      v1: {
        AffectedRequest: MessageTypeDefinition<_outrigger_scan_v1_AffectedRequestInput, _outrigger_scan_v1_AffectedRequest>
        AffectedResponse: MessageTypeDefinition<_outrigger_scan_v1_AffectedResponseInput, _outrigger_scan_v1_AffectedResponse>
        Image: MessageTypeDefinition<_outrigger_scan_v1_ImageInput, _outrigger_scan_v1_Image>
        Package: MessageTypeDefinition<_outrigger_scan_v1_PackageInput, _outrigger_scan_v1_Package>
        ScanRequest: MessageTypeDefinition<_outrigger_scan_v1_ScanRequestInput, _outrigger_scan_v1_ScanRequest>
        ScanResponse: MessageTypeDefinition<_outrigger_scan_v1_ScanResponseInput, _outrigger_scan_v1_ScanResponse>
        ScanService: SubtypeConstructor<typeof grpc.Client, _outrigger_scan_v1_ScanServiceClient> & { service: _outrigger_scan_v1_ScanServiceDefinition }
        ScanState: EnumTypeDefinition
        Severity: EnumTypeDefinition
        Vulnerability: MessageTypeDefinition<_outrigger_scan_v1_VulnerabilityInput, _outrigger_scan_v1_Vulnerability>
      }
    }
  }
}

