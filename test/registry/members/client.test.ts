import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createTlsServer } from "node:https";
import { createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { systemClock } from "../../../proto/clock.ts";
import type { ClusterConfig, MemberConfig } from "../../../registry/config/cluster.ts";
import { type MemberBody, MemberClient, type MemberRequest } from "../../../registry/members/client.ts";
import { MemberDisagrees, MemberDown, MemberWrong } from "../../../registry/members/errors.ts";
import { type Origin, openOrigin } from "../../../registry/members/origin.ts";
import { memberList } from "../../../registry/members/owners.ts";
import { readPeer } from "../../../registry/members/peers.ts";
import { MemberSlots } from "../../../registry/members/slots.ts";
import { closeUnused, type View } from "../../../registry/members/view.ts";
import { fakeClock } from "../auth/fake-clock.ts";
import { fakeMember, say } from "./fake-member.ts";

const KEY = Buffer.alloc(32, "k");
const owner: ClusterConfig["owner"] = { by: "rendezvous", key: "", rules: [] };

async function viewOf(t: TestContext, urls: Record<string, string>, answerMs = 20_000): Promise<View> {
  const origins = new Map(
    await Promise.all(
      Object.entries(urls).map(async ([id, url]) => [id, await openOrigin(id, { url }, systemClock)] as const),
    ),
  );
  t.after(() => {
    for (const origin of origins.values()) origin.close();
  });
  const list = memberList(["a", ...Object.keys(urls)], owner);
  return {
    self: "a",
    list,
    hash: list.hash,
    previous: undefined,
    origins,
    keys: [KEY],
    partial: "refuse",
    digests: "owner",
    answerMs,
  };
}

function ask(fields: Partial<MemberRequest> = {}): MemberRequest {
  return { method: "GET", path: "/v2/x/tags/list", role: "owner", signal: new AbortController().signal, ...fields };
}

function bodyFrom(bytes: Buffer): MemberBody & { begun: boolean } {
  const state = { begun: false };
  const read = async function* () {
    state.begun = true;
    yield bytes;
  };
  return Object.assign(state, { sizeBytes: bytes.length, stop() {}, bytes: read() });
}

async function world(t: TestContext, answerMs?: number) {
  const member = await fakeMember();
  t.after(member.close);
  const view = await viewOf(t, { b: member.url }, answerMs);
  const outcomes: string[] = [];
  const client = new MemberClient(
    () => view,
    systemClock,
    (_, outcome) => outcomes.push(outcome),
  );
  return { member, client, view, outcomes };
}

test("a request is signed for the member it goes to, with the account it is for", async (t) => {
  const { member, client, view, outcomes } = await world(t);
  member.answer = say("b", 200, { fine: true });
  const answer = await client.ask("b", ask({ account: "zoë", headers: { accept: "x/y" } }));
  assert.deepEqual(JSON.parse(answer.body.toString()), { fine: true });
  const [seen] = member.requests;
  assert.equal(seen?.headers["accept"], "x/y");
  const given = { method: "GET", path: seen?.path ?? "", to: "b" };
  const peer = readPeer([KEY], seen?.headers ?? {}, given, Date.now());
  assert.deepEqual(peer, { id: "a", account: "zoë", listHash: view.list.hash, role: "owner" });
  assert.deepEqual(outcomes, ["answered"]);
});

test("what no member may answer is an error that names it, and is not followed", async (t) => {
  const { member, client } = await world(t);
  const elsewhere = await fakeMember();
  t.after(elsewhere.close);
  const cases: [string, ReturnType<typeof say>, RegExp][] = [
    ["a redirect", say("b", 307, {}, { Location: `${elsewhere.url}/v2/` }), /member b .* answers 307/],
    ["a permanent one", say("b", 301, {}, { Location: elsewhere.url }), /member b .* answers 301/],
    ["another member", say("c", 200, {}), /member b .* answers as c/],
    ["no member", (_, response) => void response.end("hello"), /member b .* answers 200 as no member would/],
    ["a refusal", say("b", 401, { errors: [{ code: "UNAUTHORIZED", message: "not so" }] }), /refuses this one: not so/],
    ["a loop", say("b", 508, { errors: [{ message: "twice" }] }), /refuses this one: twice/],
    ["a refusal that says nothing", say("b", 401, "?"), /refuses this one: it answers 401/],
  ];
  for (const [what, answer, wanted] of cases) {
    member.answer = answer;
    await assert.rejects(client.ask("b", ask()), (error) => {
      assert.ok(error instanceof MemberWrong, `${what}: ${error}`);
      assert.equal(error.status, 502);
      assert.equal(error.member, "b");
      assert.match(error.message, wanted);
      return true;
    });
  }
  assert.equal(elsewhere.requests.length, 0);
  member.answer = say("b", 421, { errors: [{ message: "another list" }] });
  await assert.rejects(client.ask("b", ask()), (error) => error instanceof MemberDisagrees && error.status === 503);
});

test("an answer of 10 GB is not read: not where its length is told, nor where it is not", async (t) => {
  const { member, client } = await world(t);
  member.answer = say("b", 200, {}, { "Content-Length": String(10 * 1024 ** 3) });
  await assert.rejects(client.ask("b", ask({ method: "GET" })), /member b .* more than 1048576 bytes/);
  let sent = 0;
  const closed = new Promise<void>((resolve) => {
    member.answer = (_, response) => {
      response.writeHead(200, { "Outrigger-Member": "b" });
      response.once("close", resolve);
      const chunk = Buffer.alloc(64 * 1024);
      const more = () => {
        while (!response.destroyed && sent < 10 * 1024 ** 3) {
          sent += chunk.length;
          if (!response.write(chunk)) return void response.once("drain", more);
        }
      };
      more();
    };
  });
  await assert.rejects(client.ask("b", ask()), MemberWrong);
  await closed;
  assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes were sent`);
});

test("a member that never answers is given up in time", async (t) => {
  const { member, client, outcomes } = await world(t, 100);
  member.answer = () => {};
  await assert.rejects(client.ask("b", ask()), (error) => {
    assert.ok(error instanceof MemberDown);
    assert.equal(error.status, 503);
    assert.match(error.message, /member b .* no answer came within 0\.1 s/);
    return true;
  });
  assert.deepEqual(outcomes, ["down"]);
});

test("a member that breaks off its answer, or is nowhere", async (t) => {
  const { member, client } = await world(t);
  member.answer = (_, response) => {
    response.writeHead(200, { "Outrigger-Member": "b", "Content-Length": "100" });
    response.write("half", () => member.cut());
  };
  await assert.rejects(client.ask("b", ask()), /member b .* broke off its answer/);
  await member.close();
  await assert.rejects(client.ask("b", ask()), /member b .* the connection failed \(ECONNREFUSED\)/);
});

test("a member that failed five times is not asked for a while, then by one request", async (t) => {
  const member = await fakeMember();
  t.after(member.close);
  const clock = fakeClock();
  const view = await viewOf(t, {});
  const origins = new Map([["b", await openOrigin("b", { url: member.url }, clock)]]);
  const client = new MemberClient(() => ({ ...view, origins }), clock);
  member.answer = (request) => void request.socket.destroy();
  for (let count = 0; count < 5; count += 1) await assert.rejects(client.ask("b", ask()), MemberDown);
  const asked = member.requests.length;
  await assert.rejects(client.ask("b", ask()), /failed several times in a row/);
  assert.equal(member.requests.length, asked);
  clock.advance(1_100);
  await assert.rejects(client.ask("b", ask()), /connection failed/);
  await assert.rejects(client.ask("b", ask()), /failed several times in a row/);
  clock.advance(2_100);
  member.answer = say("b", 200, {});
  await client.ask("b", ask());
  await client.ask("b", ask());
});

/** Time passes only when the test says so; `answered` is called once an answer's head is there. */
async function standing(t: TestContext, answerMs: number, answered = () => {}) {
  const member = await fakeMember();
  t.after(member.close);
  const clock = fakeClock();
  const origins = new Map([["b", await openOrigin("b", { url: member.url }, clock)]]);
  t.after(() => origins.get("b")?.close());
  const view = { ...(await viewOf(t, {}, answerMs)), origins };
  const client = new MemberClient(
    () => view,
    clock,
    (_, outcome) => outcome === "answered" && answered(),
  );
  return { member, client, clock, view };
}

test("a request's own deadline also ends the wait until the body is wanted, and that for the answer's end", async (t) => {
  const { member, client, clock } = await standing(t, 600_000, () => setImmediate(() => clock.advance(4_000)));
  const body = bodyFrom(Buffer.from("bytes"));
  const question = ask({ method: "POST", deadlineMs: 4_000 });
  member.answer = () => clock.advance(4_000);
  await assert.rejects(client.ask("b", { ...question, body }), /member b .* no answer came within 4 s$/);
  assert.equal(body.begun, false);
  await assert.rejects(client.ask("b", question), /no answer came within 4 s$/);
  member.answer = (request, response) => {
    response.writeContinue();
    request.resume().on("end", () => clock.advance(4_000));
  };
  await assert.rejects(client.ask("b", { ...question, body }), /no answer came within 4 s of the body's end/);
  member.answer = (_, response) => {
    response.writeHead(200, { "Outrigger-Member": "b" });
    response.write("half");
  };
  await assert.rejects(client.ask("b", question), /member b .* its answer did not end in time/);
});

test("a longer deadline is for the answer, not for the wait until the body is wanted", async (t) => {
  const { member, client, clock } = await standing(t, 4_000);
  member.answer = () => clock.advance(4_000);
  const body = bodyFrom(Buffer.from("bytes"));
  await assert.rejects(client.ask("b", ask({ method: "PUT", body, deadlineMs: 600_000 })), /within 4 s$/);
});

test("where slowness does not count, only a member that cannot be reached is not asked for a while", async (t) => {
  const { member, client, clock } = await standing(t, 4_000);
  const question = ask({ countsInBreaker: false });
  member.answer = () => clock.advance(4_000);
  for (let count = 0; count < 6; count += 1) await assert.rejects(client.ask("b", question), /within 4 s$/);
  member.answer = say("b", 200, {});
  assert.equal((await client.ask("b", ask())).status, 200);
  member.answer = (request) => void request.socket.destroy();
  for (let count = 0; count < 5; count += 1) await assert.rejects(client.ask("b", question), /connection failed/);
  await assert.rejects(client.ask("b", question), /failed several times in a row/);
});

test("answers that are read slowly take no short request's turn, nor a slot twice", async (t) => {
  const { member, client, clock, view } = await standing(t, 4_000);
  const origin = view.origins.get("b");
  assert.ok(origin);
  view.origins.set("b", { ...origin, slots: new MemberSlots({ short: 1, streamed: 2 }) });
  member.answer = (_, response) => {
    response.writeHead(200, { "Outrigger-Member": "b", "Content-Length": "100" });
    response.write("one byte after the other");
  };
  const pulls = [await client.open("b", ask()), await client.open("b", ask())];
  const waiting = client.open("b", ask());
  member.answer = say("b", 200, {});
  for (let count = 0; count < 3; count += 1) await client.ask("b", ask());
  const short = await client.open("b", ask({ isStreamed: false }));
  const alsoWaiting = client.ask("b", ask({ deadlineMs: 1_000 }));
  clock.advance(1_000);
  await assert.rejects(alsoWaiting, /member b .* too many requests to it are under way/);
  short.discard();
  clock.advance(3_000);
  await assert.rejects(waiting, /member b .* too many blobs and uploads are under way/);
  assert.equal(view.origins.get("b")?.slots.streamed.taken, 2);
  for (const pull of pulls) pull.discard();
  await client.open("b", ask()).then((answer) => answer.discard());
});

test("a body is sent only once the member asks for it: what is refused at once can be asked again", async (t) => {
  const { member, client } = await world(t);
  const body = bodyFrom(Buffer.from("bytes"));
  member.answer = say("b", 421, { errors: [{ message: "another list" }] });
  await assert.rejects(client.ask("b", ask({ method: "PUT", body })), MemberDisagrees);
  assert.equal(body.begun, false);
  const received: Buffer[] = [];
  member.answer = async (request, response) => {
    response.writeContinue();
    for await (const chunk of request) received.push(chunk as Buffer);
    say("b", 201, {})(request, response);
  };
  assert.equal((await client.ask("b", ask({ method: "PUT", body }))).status, 201);
  assert.equal(Buffer.concat(received).toString(), "bytes");
});

test("a question is sent at once, whole", async (t) => {
  const b = await fakeMember();
  t.after(b.close);
  b.answer = async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    say("b", 200, { asked: Buffer.concat(chunks).toString(), expect: request.headers.expect ?? "nothing" })(
      request,
      response,
    );
  };
  const client = new MemberClient(() => view, systemClock);
  const view = await viewOf(t, { b: b.url });
  const { body } = await client.ask("b", ask({ method: "POST", question: Buffer.from("what?") }));
  assert.deepEqual(JSON.parse(body.toString()), { asked: "what?", expect: "nothing" });
});

test("what asks for a body and then disagrees is not asked again: the body is gone", async (t) => {
  const { member, client } = await world(t);
  member.answer = async (request, response) => {
    response.writeContinue();
    request.resume().on("end", () => say("b", 421, { errors: [{ message: "another list" }] })(request, response));
  };
  const body = bodyFrom(Buffer.from("bytes"));
  await assert.rejects(client.ask("b", ask({ method: "PUT", body })), (error) => {
    assert.ok(error instanceof MemberWrong, String(error));
    return /only after the request's body/.test(error.message);
  });
});

test("a body's own error is what the asker gets, and the member sees it end early", async (t) => {
  const { member, client } = await world(t);
  const ended = new Promise<void>((resolve) => {
    member.answer = (request, response) => {
      response.writeContinue();
      request.on("error", () => resolve());
      request.resume();
    };
  });
  const bytes = (async function* () {
    yield Buffer.from("one");
    throw new RangeError("the client went away");
  })();
  const body = { bytes, sizeBytes: 100, stop() {} };
  await assert.rejects(client.ask("b", ask({ method: "PUT", body })), RangeError);
  await ended;
});

test("a connection that the member has closed meanwhile: what changes nothing twice is sent again", async (t) => {
  // Answers one request on each connection, and closes it when the second one comes.
  const seen: string[] = [];
  const server = createSocketServer((socket) => {
    let answered = false;
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      seen.push(bytes.toString("latin1").split(" ", 1)[0] ?? "");
      if (answered) socket.resetAndDestroy();
      else socket.write("HTTP/1.1 200 OK\r\nOutrigger-Member: b\r\nContent-Length: 0\r\n\r\n");
      answered = true;
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const view = await viewOf(t, { b: `http://127.0.0.1:${port}` });
  const client = new MemberClient(() => view, systemClock);
  /** On a connection that was used before. */
  const times = async (fields: Partial<MemberRequest>, isAnswered: boolean): Promise<number> => {
    await client.ask("b", ask());
    seen.length = 0;
    const asked = client.ask("b", ask(fields));
    if (isAnswered) assert.equal((await asked).status, 200);
    else await assert.rejects(asked, MemberDown);
    return seen.filter((method) => method === fields.method).length;
  };
  assert.equal(await times({ method: "GET" }, true), 2);
  assert.equal(await times({ method: "HEAD" }, true), 2);
  assert.equal(await times({ method: "POST", isRepeatable: true }, true), 2);
  assert.equal(await times({ method: "POST", question: Buffer.from("what?") }, true), 2);
  const body = bodyFrom(Buffer.from("bytes"));
  assert.equal(await times({ method: "PUT", body }, true), 2);
  assert.equal(body.begun, false);
  // Whether it was done is not known: whoever asked decides.
  assert.equal(await times({ method: "PUT" }, false), 1);
  assert.equal(await times({ method: "POST" }, false), 1);
  assert.equal(await times({ method: "DELETE" }, false), 1);
  assert.equal(await times({ method: "DELETE", body }, false), 1);
});

test("whoever asked and leaves ends it, and the member is not blamed", async (t) => {
  const { member, client, outcomes } = await world(t);
  const left = new AbortController();
  member.answer = () => left.abort(new Error("left"));
  await assert.rejects(client.ask("b", ask({ signal: left.signal })), /left/);
  assert.deepEqual(outcomes, ["left"]);
  await assert.rejects(client.ask("b", ask({ signal: left.signal })), /left/);
});

test("a member behind TLS is known by its certificate; what its files hold by now counts", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const subject = ["-subj", "/CN=b.example", "-addext", "subjectAltName=DNS:b.example"];
  const args = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
    ...subject,
  ];
  try {
    execFileSync("openssl", [...args, "-keyout", key, "-out", cert], { stdio: "ignore" });
  } catch {
    return t.skip("no openssl");
  }
  const server = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, say("b", 200, {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const url = `https://127.0.0.1:${(server.address() as { port: number }).port}`;
  const view = await viewOf(t, {});
  const askWith = async (tls: NonNullable<MemberConfig["tls"]>) => {
    const origin = await openOrigin("b", { url, tls }, systemClock);
    t.after(origin.close);
    return new MemberClient(() => ({ ...view, origins: new Map([["b", origin]]) }), systemClock).ask("b", ask());
  };
  const right = { ca: cert, serverName: "b.example" };
  assert.equal((await askWith(right)).status, 200);
  await assert.rejects(askWith({ serverName: "b.example" }), /member b .*SELF_SIGNED/);
  await assert.rejects(askWith({ ca: cert, serverName: "c.example" }), /member b .*ALTNAME/);
  await assert.rejects(askWith({ ca: join(folder, "none") }), /cluster\.members\.b\.tls\.ca .* cannot be read/);
  const config = { url, tls: right };
  const origin = await openOrigin("b", config, systemClock);
  assert.equal(await openOrigin("b", config, systemClock, origin), origin);
  writeFileSync(cert, `${readFileSync(cert, "utf8")}\n`);
  const next = await openOrigin("b", config, systemClock, origin);
  assert.notEqual(next, origin);
  for (const each of [origin, next]) each.close();
  // In a resumed session the certificate would not be seen.
  const reused: boolean[] = [];
  server.on("secureConnection", (socket) => void reused.push(socket.isSessionReused()));
  server.removeAllListeners("request").on("request", say("b", 200, {}, { connection: "close" }));
  for (const own of [{}, { cert, key }]) {
    const showing = await openOrigin("b", { url, tls: { ...right, ...own } }, systemClock);
    t.after(showing.close);
    const client = new MemberClient(() => ({ ...view, origins: new Map([["b", showing]]) }), systemClock);
    for (let time = 0; time < 2; time += 1) await client.ask("b", ask());
  }
  assert.deepEqual(reused, [false, true, false, false]);
});

test("another certificate breaks off nothing: a connection ends after its answer; another address ends it at once", async (t) => {
  const { member, view } = await world(t);
  const viewWith = (origin: Origin): View => ({ ...view, origins: new Map([["b", origin]]) });
  const originAt = async (url: string) => {
    const origin = await openOrigin("b", { url }, systemClock);
    t.after(origin.close);
    return origin;
  };
  const open = async (origin: Origin) => {
    let end = () => {};
    let [left, closed] = [false, Promise.resolve() as Promise<unknown>];
    member.answer = (request, response) => {
      request.socket.once("end", () => {
        left = true;
      });
      closed = once(request.socket, "close");
      response.writeHead(200, { "outrigger-member": "b" }).write("first");
      end = () => response.end(", last");
    };
    const answer = await new MemberClient(() => viewWith(origin), systemClock).open("b", ask());
    return { answer, end, closed, hasLeft: async () => (await closed) && left };
  };
  const [first, renewed, moved] = await Promise.all([member.url, member.url, "http://127.0.0.1:9"].map(originAt));
  assert.ok(first && renewed && moved);
  const kept = await open(first);
  closeUnused(viewWith(first), viewWith(renewed));
  kept.end();
  assert.equal((await kept.answer.whole(100)).toString(), "first, last");
  // It is not the member that ends it, which would do so some time.
  assert.equal(await kept.hasLeft(), true);
  const idle = await open(renewed);
  idle.end();
  await idle.answer.whole(100);
  closeUnused(viewWith(renewed), viewWith(first));
  assert.equal(await idle.hasLeft(), true);
  const broken = await open(first);
  closeUnused(viewWith(first), viewWith(moved));
  await assert.rejects(broken.answer.whole(100), /member b .* broke off its answer/);
  await broken.closed;
});

test("an id that is no member's is an error that names it", async (t) => {
  const { client } = await world(t);
  await assert.rejects(client.ask("x", ask()), /member x .* no member has this id/);
});
