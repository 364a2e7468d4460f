/** Questions of a search on their way to other members: bounded in time and in bytes, and no sign of how the members do. */
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { type TestContext, test } from "node:test";
import { type Clock, systemClock } from "../../../proto/clock.ts";
import { MemberClient } from "../../../registry/members/client.ts";
import { openOrigin } from "../../../registry/members/origin.ts";
import { memberList } from "../../../registry/members/owners.ts";
import { searchOfAll } from "../../../registry/members/search.ts";
import type { View } from "../../../registry/members/view.ts";
import { createSearchService } from "../../../registry/search/service.ts";
import { fakeClock } from "../auth/fake-clock.ts";
import { FakeSource } from "../search/fake-source.ts";
import { ALICE, askerOf, explain, FakePreferences } from "../search/world.ts";
import { type FakeMember, fakeMember, say } from "./fake-member.ts";

async function world(t: TestContext, clock: Clock) {
  const member = await fakeMember();
  const origin = await openOrigin("b", { url: member.url }, systemClock);
  t.after(async () => {
    origin.close();
    await member.close();
  });
  const list = memberList(["a", "b"], { by: "rendezvous", key: "", rules: [] });
  const view: View = {
    self: "a",
    list,
    hash: list.hash,
    previous: undefined,
    origins: new Map([["b", origin]]),
    keys: [Buffer.alloc(32, "k")],
    partial: "refuse",
    digests: "owner",
    answerMs: 10_000,
  };
  const client = new MemberClient(() => view, clock);
  const source = new FakeSource();
  const local = createSearchService({ source, holders: source, preferences: new FakePreferences() }, explain);
  const ask = async (query: string) => {
    const service = searchOfAll({ view: () => view, client, clock, local, account: ALICE });
    const { answer } = await service.answer({ query }, askerOf(ALICE));
    return answer;
  };
  return { member, origin, ask };
}

const LIST = "RepoListWithNewestImage{Page{TotalCount}}";

/** The member has the question whole, and its answer is in the test's hands. */
function asked(member: FakeMember): Promise<ServerResponse> {
  return new Promise((resolve) => {
    member.answer = (request, response) => {
      response.writeContinue();
      request.resume().once("end", () => resolve(response));
    };
  });
}

for (const where of ["before", "within"]) {
  test(`a member that stops ${where} its answer is given up in 4 s, is not asked again, and may be asked for all else`, async (t) => {
    const clock = fakeClock();
    const { member, origin, ask } = await world(t, clock);
    const began = asked(member);
    const answered = ask(`{${Array.from({ length: 20 }, (_, n) => `q${n}:${LIST}`).join(" ")}}`);
    const response = await began;
    if (where === "within") {
      response.writeHead(200, { "Outrigger-Member": "b", "Content-Type": "application/json" });
      response.write('{"data":');
    }
    let isDone = false;
    void answered.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      clock.advance(500);
    }
    const { errors = [] } = await answered;
    assert.equal(errors.length, 20);
    for (const { message, extensions } of errors) {
      assert.match(message, /member b of the cluster does not answer: no answer came within 4 s/);
      assert.equal(extensions?.["member"], "b");
    }
    // Those that were under way beside the first.
    assert.ok(member.requests.length <= 8, `${member.requests.length} questions`);
    assert.equal(origin.breaker.isOpen, false);
  });
}

test("answers to one document have so many bytes together", async (t) => {
  // However long it takes.
  const { member, ask } = await world(t, fakeClock());
  const body = { data: Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`q${n}`, null])) };
  member.answer = say("b", 200, { ...body, more: "x".repeat(20 * 1024 * 1024) });
  const { errors = [] } = await ask(`{${Array.from({ length: 10 }, (_, n) => `q${n}:${LIST}`).join(" ")}}`);
  const tooMuch = errors.filter(({ message }) => /the members' answers to this document have more than/.test(message));
  assert.ok(tooMuch.length >= 7, `${tooMuch.length} of ${errors.length}: ${errors[0]?.message}`);
  for (const { extensions } of tooMuch) assert.equal(extensions?.["member"], "b");
});
