// Original file: proto/outrigger/blob/v1/blob.proto


export interface FlushInput {
}

export interface Flush {
}
