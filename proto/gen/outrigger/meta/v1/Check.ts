// Original file: proto/outrigger/meta/v1/meta.proto


export interface CheckInput {
}

export interface Check {
}
