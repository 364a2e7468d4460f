/**
 * One channel to one driver process, as protocol logic knows it. gRPC implements it on both sides (client/grpc,
 * server/grpc); the simulation and the in-process benchmark implement it without sockets.
 */
import type { AbortUploadRequest, AbortUploadRequestInput } from "./gen/outrigger/blob/v1/AbortUploadRequest.ts";
import type { AbortUploadResponse } from "./gen/outrigger/blob/v1/AbortUploadResponse.ts";
import type { AppendRequest, AppendRequestInput } from "./gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse, AppendResponseInput } from "./gen/outrigger/blob/v1/AppendResponse.ts";
import type {
  CountRequest as BlobCountRequest,
  CountRequestInput as BlobCountRequestInput,
} from "./gen/outrigger/blob/v1/CountRequest.ts";
import type { CountResponse as BlobCountResponse } from "./gen/outrigger/blob/v1/CountResponse.ts";
import type { DeleteRequest, DeleteRequestInput } from "./gen/outrigger/blob/v1/DeleteRequest.ts";
import type { DeleteResponse } from "./gen/outrigger/blob/v1/DeleteResponse.ts";
import type { GetUploadRequest, GetUploadRequestInput } from "./gen/outrigger/blob/v1/GetUploadRequest.ts";
import type { GetUploadResponse } from "./gen/outrigger/blob/v1/GetUploadResponse.ts";
import type {
  ListRequest as BlobListRequest,
  ListRequestInput as BlobListRequestInput,
} from "./gen/outrigger/blob/v1/ListRequest.ts";
import type { ListResponse as BlobListResponse } from "./gen/outrigger/blob/v1/ListResponse.ts";
import type { ListUploadsRequest, ListUploadsRequestInput } from "./gen/outrigger/blob/v1/ListUploadsRequest.ts";
import type { ListUploadsResponse } from "./gen/outrigger/blob/v1/ListUploadsResponse.ts";
import type { LocateFileRequest, LocateFileRequestInput } from "./gen/outrigger/blob/v1/LocateFileRequest.ts";
import type { LocateFileResponse } from "./gen/outrigger/blob/v1/LocateFileResponse.ts";
import type { MoveRequest, MoveRequestInput } from "./gen/outrigger/blob/v1/MoveRequest.ts";
import type { MoveResponse } from "./gen/outrigger/blob/v1/MoveResponse.ts";
import type { PutRequest, PutRequestInput } from "./gen/outrigger/blob/v1/PutRequest.ts";
import type { PutResponse } from "./gen/outrigger/blob/v1/PutResponse.ts";
import type { ReadRequest, ReadRequestInput } from "./gen/outrigger/blob/v1/ReadRequest.ts";
import type { ReadResponse } from "./gen/outrigger/blob/v1/ReadResponse.ts";
import type { SignUrlRequest, SignUrlRequestInput } from "./gen/outrigger/blob/v1/SignUrlRequest.ts";
import type { SignUrlResponse } from "./gen/outrigger/blob/v1/SignUrlResponse.ts";
import type { StatRequest, StatRequestInput } from "./gen/outrigger/blob/v1/StatRequest.ts";
import type { StatResponse } from "./gen/outrigger/blob/v1/StatResponse.ts";
import type { DescribeRequest, DescribeRequestInput } from "./gen/outrigger/handshake/v1/DescribeRequest.ts";
import type { DescribeResponse } from "./gen/outrigger/handshake/v1/DescribeResponse.ts";
import type { VersionRequest, VersionRequestInput } from "./gen/outrigger/handshake/v1/VersionRequest.ts";
import type { VersionResponse } from "./gen/outrigger/handshake/v1/VersionResponse.ts";
import type {
  CountRequest as MetaCountRequest,
  CountRequestInput as MetaCountRequestInput,
} from "./gen/outrigger/meta/v1/CountRequest.ts";
import type { CountResponse as MetaCountResponse } from "./gen/outrigger/meta/v1/CountResponse.ts";
import type { GetRequest, GetRequestInput } from "./gen/outrigger/meta/v1/GetRequest.ts";
import type { GetResponse } from "./gen/outrigger/meta/v1/GetResponse.ts";
import type {
  ListRequest as MetaListRequest,
  ListRequestInput as MetaListRequestInput,
} from "./gen/outrigger/meta/v1/ListRequest.ts";
import type { ListResponse as MetaListResponse } from "./gen/outrigger/meta/v1/ListResponse.ts";
import type { WriteRequest, WriteRequestInput } from "./gen/outrigger/meta/v1/WriteRequest.ts";
import type { WriteResponse } from "./gen/outrigger/meta/v1/WriteResponse.ts";

/** Unary calls: request as sent, answer as received. */
export interface UnaryMethods {
  "handshake.Version": [VersionRequestInput, VersionResponse];
  "handshake.Describe": [DescribeRequestInput, DescribeResponse];
  "blob.Stat": [StatRequestInput, StatResponse];
  "blob.Put": [PutRequestInput, PutResponse];
  "blob.GetUpload": [GetUploadRequestInput, GetUploadResponse];
  "blob.ListUploads": [ListUploadsRequestInput, ListUploadsResponse];
  "blob.AbortUpload": [AbortUploadRequestInput, AbortUploadResponse];
  "blob.Delete": [DeleteRequestInput, DeleteResponse];
  "blob.List": [BlobListRequestInput, BlobListResponse];
  "blob.Count": [BlobCountRequestInput, BlobCountResponse];
  "blob.SignUrl": [SignUrlRequestInput, SignUrlResponse];
  "blob.LocateFile": [LocateFileRequestInput, LocateFileResponse];
  "meta.Get": [GetRequestInput, GetResponse];
  "meta.List": [MetaListRequestInput, MetaListResponse];
  "meta.Count": [MetaCountRequestInput, MetaCountResponse];
  "meta.Write": [WriteRequestInput, WriteResponse];
}

/** Calls answered by a stream. */
export interface StreamMethods {
  "blob.Read": [ReadRequestInput, ReadResponse];
  "blob.Move": [MoveRequestInput, MoveResponse];
}

/** The same requests as the driver's side receives them: decoded, every default filled in. */
export interface ReceivedRequests {
  "handshake.Version": VersionRequest;
  "handshake.Describe": DescribeRequest;
  "blob.Stat": StatRequest;
  "blob.Put": PutRequest;
  "blob.GetUpload": GetUploadRequest;
  "blob.ListUploads": ListUploadsRequest;
  "blob.AbortUpload": AbortUploadRequest;
  "blob.Delete": DeleteRequest;
  "blob.List": BlobListRequest;
  "blob.Count": BlobCountRequest;
  "blob.SignUrl": SignUrlRequest;
  "blob.LocateFile": LocateFileRequest;
  "blob.Read": ReadRequest;
  "blob.Move": MoveRequest;
  "meta.Get": GetRequest;
  "meta.List": MetaListRequest;
  "meta.Count": MetaCountRequest;
  "meta.Write": WriteRequest;
}

export type UnaryMethod = keyof UnaryMethods;
export type StreamMethod = keyof StreamMethods;
export type AnyMethod = UnaryMethod | StreamMethod | "blob.Append";

/** What a request carries beside its message. */
export interface RequestMetadata {
  readonly store?: string;
  readonly notAfterMs?: number;
  readonly requestId?: string;
  /** W3C trace context, as it came from OpenTelemetry's propagator. */
  readonly trace?: Readonly<Record<string, string>>;
}

/** What an answer carries beside its message; absent where the driver forgot it or the transport failed before. */
export interface AnswerMetadata {
  readonly nowMs?: number;
  readonly contract?: string;
}

export interface TransportCall {
  readonly metadata: RequestMetadata;
  /** The whole call's time; absent: none (streams have timers of their own). */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** An answered stream. Iterating it applies backpressure; it throws OutriggerError when it ends otherwise than with OK. */
export interface IncomingStream<Message> extends AsyncIterable<Message> {
  /** Resolves with the first answer's metadata; never rejects. */
  readonly metadata: Promise<AnswerMetadata>;
  cancel(): void;
}

export interface AppendStream {
  readonly incoming: IncomingStream<AppendResponse>;
  /**
   * Resolves when there is room for more. Rejects once the stream has ended; incoming says why. A chunk's bytes may
   * change once they are told persisted, or the stream has ended.
   */
  send(message: AppendRequestInput): Promise<void>;
  /** Half-close. */
  end(): void;
}

/** The core's side of one channel. */
export interface Transport {
  unary<Method extends UnaryMethod>(
    method: Method,
    request: UnaryMethods[Method][0],
    call: TransportCall,
  ): Promise<{ response: UnaryMethods[Method][1]; metadata: AnswerMetadata }>;
  stream<Method extends StreamMethod>(
    method: Method,
    request: StreamMethods[Method][0],
    call: TransportCall,
  ): IncomingStream<StreamMethods[Method][1]>;
  append(call: TransportCall): AppendStream;
  /**
   * grpc.health.v1 of one service: whether its store is usable. Rejects when nobody answers. Absent where a transport has
   * no health service; `undefined` where the driver does not know the service.
   */
  health?(service: string, call: TransportCall): Promise<boolean | undefined>;
  /**
   * Resolves with true as soon as the connection that `method` uses is there again, with false once `ms` are over or where
   * it was there all the time. Never rejects. Absent where a transport has no connections.
   */
  reconnected?(method: AnyMethod, ms: number): Promise<boolean>;
  /** Calls `run` once what has arrived in this process so far has asked for its calls. Absent: at the end of the task. */
  turnEnd?(run: () => void): void;
  close(): void;
}

/** The driver's side: what a transport calls for each request. Everything thrown is an OutriggerError. */
export interface Handlers {
  unary<Method extends UnaryMethod>(
    method: Method,
    request: ReceivedRequests[Method],
    call: IncomingCall,
  ): Promise<UnaryMethods[Method][1]>;
  stream<Method extends StreamMethod>(
    method: Method,
    request: ReceivedRequests[Method],
    call: IncomingCall,
  ): AsyncIterable<StreamMethods[Method][1]>;
  /** `send` resolves when there is room for more. Resolving ends the stream with OK. */
  append(
    requests: AsyncIterable<AppendRequest>,
    send: (response: AppendResponseInput) => Promise<void>,
    call: IncomingCall,
  ): Promise<void>;
  /** What every answer carries. */
  answerMetadata(): Required<AnswerMetadata>;
}

export interface IncomingCall {
  readonly metadata: RequestMetadata;
  /** Aborts when the peer has gone, its deadline is over, or the host drains. */
  readonly signal: AbortSignal;
}
