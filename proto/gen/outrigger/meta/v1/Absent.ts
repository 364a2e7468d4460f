// Original file: proto/outrigger/meta/v1/meta.proto


export interface AbsentInput {
}

export interface Absent {
}
