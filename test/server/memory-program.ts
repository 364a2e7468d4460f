/** The memory driver as a program of its own, as any driver's author writes one. */
import { driverModule } from "../../drivers/memory/index.ts";
import { runDriver } from "../../server/index.ts";

await runDriver(driverModule, process.argv.slice(2), process.env);
