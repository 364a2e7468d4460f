// Original file: proto/outrigger/handshake/v1/handshake.proto


export interface VersionRequestInput {
}

export interface VersionRequest {
}
