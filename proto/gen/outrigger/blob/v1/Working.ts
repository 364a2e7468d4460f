// Original file: proto/outrigger/blob/v1/blob.proto


export interface WorkingInput {
}

export interface Working {
}
