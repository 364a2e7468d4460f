import { endsInGreenKit } from "./green-kit.ts";

endsInGreenKit("any-language", ["handshake", "meta", "process"]);
