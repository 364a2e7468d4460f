// Original file: proto/outrigger/meta/v1/meta.proto


export interface DeleteInput {
}

export interface Delete {
}
