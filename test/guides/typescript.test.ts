import { endsInGreenKit } from "./green-kit.ts";

endsInGreenKit("typescript", ["handshake", "meta", "blob", "process"]);
