import { endsInGreenKit } from "./green-kit.ts";

endsInGreenKit("python", ["handshake", "meta", "blob", "process"]);
