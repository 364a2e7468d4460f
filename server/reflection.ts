/** gRPC server reflection, v1 and v1alpha: what grpcurl and the like ask a driver before its first call. */
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { packageDefinition } from "../proto/load.ts";

/** @param services full names of what the server serves: nothing else is shown */
export function addReflection(server: Server, services: readonly string[]): void {
  new ReflectionService(packageDefinition({ keepCase: true }), { services: [...services] }).addToServer(server);
}
