// Original file: proto/outrigger/meta/v1/meta.proto


export interface PresentInput {
}

export interface Present {
}
