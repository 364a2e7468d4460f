import { endsInGreenKit } from "./green-kit.ts";

endsInGreenKit("go", ["handshake", "meta", "blob", "process"]);
