// Original file: proto/outrigger/scan/v1/scan.proto


export interface PackageInput {
  'name'?: (string);
  'path'?: (string);
  'installedVersion'?: (string);
  'fixedVersion'?: (string);
}

export interface Package {
  'name': (string);
  'path': (string);
  'installedVersion': (string);
  'fixedVersion': (string);
}
