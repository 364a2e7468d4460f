/** Who a driver says it is. */
import assert from "node:assert/strict";
import type { Group } from "../contract.ts";

export const handshake: Group = {
  name: "handshake",
  profile: "handshake",
  summary: "Version and Describe: who the driver is, and what it claims.",
  requires: {},
  tests: [
    {
      id: "handshake.version.02",
      title: "lists every API that has a store, each major once",
      async run(ctx) {
        const { api } = await ctx.handshake.version({});
        const names = Object.keys(api);
        assert.ok(names.length > 0, "Version lists no API");
        for (const name of names) {
          const majors = (api[name]?.versions ?? []).map(({ major }) => major);
          assert.ok(majors.length > 0, `Version lists ${name} without a version`);
          assert.equal(new Set(majors).size, majors.length, `Version lists a major of ${name} twice: ${majors}`);
        }
      },
    },
  ],
};
