/** What the pages show of what others wrote. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Reply } from "../../helpers/registry-client.ts";
import { startPage } from "../../page/page-server.ts";
import { digestFor, platform } from "../../page/world.ts";

const text = (reply: Reply) => reply.body.toString();

test("whatever a name, a label, an annotation or a member's word holds is shown and never run", async (t) => {
  const page = await startPage(t);
  const evil = (mark: string) =>
    `"><script src=//evil.example/${mark}></script><img src=x onerror=alert(1)>'\u202e${mark}`;
  const manifest = {
    ...platform("evil", "linux", "amd64", []),
    Platform: { Os: evil("os"), Arch: evil("arch") },
    Digest: evil("manifest-digest"),
    ConfigDigest: evil("config-digest"),
    Layers: [{ Digest: evil("layer"), Size: "1" }],
    History: [{ HistoryDescription: { CreatedBy: evil("command"), Comment: evil("comment"), EmptyLayer: false } }],
  };
  page.search.images = [
    {
      repository: "team/app",
      tag: "1.0",
      fields: {
        Manifests: [manifest],
        Title: evil("title"),
        Description: evil("description"),
        Vendor: evil("vendor"),
        Source: "javascript:alert(document.domain)",
        Documentation: `https://example.com/"onmouseover="alert(1)`,
        Authors: evil("authors"),
        Labels: evil("labels"),
        MediaType: evil("media"),
        SignatureInfo: [{ Tool: evil("tool"), Author: evil("author") }],
        Referrers: [
          {
            ArtifactType: evil("kind"),
            Digest: evil("referrer"),
            Size: 1,
            Annotations: [{ Key: evil("key"), Value: evil("value") }],
          },
        ],
        Vulnerabilities: { MaxSeverity: evil("severity"), Count: 1 },
      },
    },
  ];
  page.search.errors = [{ message: evil("message"), extensions: { member: evil("member") } }];
  page.overview = () => ({
    members: [
      {
        id: evil("id"),
        isSelf: true,
        isReachable: true,
        version: evil("version"),
        problem: evil("problem"),
        stores: [
          {
            kind: "blob",
            ready: false,
            driver: evil("driver"),
            problem: evil("store"),
            prefix: evil("prefix"),
            id: evil("store-id"),
          },
        ],
      },
      { id: evil("other"), isSelf: false, isReachable: false },
    ],
  });
  const marks = new Set<string>();
  for (const path of [
    "/",
    `/?q=${encodeURIComponent(evil("q").replaceAll(":", ""))}`,
    "/r/team/app",
    "/r/team/app:1.0",
    "/members",
    `/r/${encodeURIComponent(evil("path"))}`,
  ]) {
    const host = path === "/r/team/app:1.0" ? { Host: "a<script>" } : undefined;
    const body = text(await page.client.request("GET", path, host === undefined ? {} : { headers: host }));
    assert.doesNotMatch(
      body,
      /<script(?! type="module" src="\/assets\/page\.js)|<img(?! src="\/assets\/)|\u202e/,
      path,
    );
    assert.doesNotMatch(body, /(?:href|src|action)="(?!\/|#|https:\/\/example\.com)/, path);
    // Attributes are those of the templates: no value has ended its own.
    for (const [tag] of body.matchAll(/<[a-z][^>]*>/g)) {
      const bare = tag.replaceAll(/"[^"]*"/g, '""');
      assert.match(bare, /^<[a-z0-9]+(?: (?!on)[A-Za-z-]+(?:="")?)*\/?>$/, `${path}: ${tag}`);
    }
    for (const [, mark] of body.matchAll(/\ufffd([a-z-]+)/g)) marks.add(mark ?? "");
  }
  for (const mark of [
    "os",
    "layer",
    "command",
    "title",
    "description",
    "labels",
    "kind",
    "key",
    "value",
    "member",
    "message",
    "id",
    "driver",
    "store",
    "problem",
    "other",
    "q",
    "tool",
  ])
    assert.ok(marks.has(mark), `${mark} was shown: ${[...marks]}`);
});

test("a label is a link only where it leads to the web", async (t) => {
  const page = await startPage(t);
  const linksOf = async (source: string) => {
    page.search.images = [{ repository: "a", tag: "1", fields: { Source: source } }];
    const body = text(await page.client.request("GET", "/r/a:1"));
    return [...body.matchAll(/<a href="([^"]*)" rel="noopener noreferrer nofollow external"/g)].map(([, to]) => to);
  };
  assert.deepEqual(await linksOf("https://example.com/app?a=1&b=2"), ["https://example.com/app?a=1&amp;b=2"]);
  for (const source of [
    "javascript:alert(1)",
    " https://x",
    "data:text/html,x",
    "//example.com",
    "https://a b",
    "vbscript:x",
    "git@example.com:a/b",
  ])
    assert.deepEqual(await linksOf(source), [], source);
});

test("layers and history stand beside each other only where they fit", async (t) => {
  const page = await startPage(t);
  const layers = [
    { Digest: digestFor("a"), Size: "100" },
    { Digest: digestFor("b"), Size: "50" },
  ];
  const told = (empty: boolean, command: string) => ({ HistoryDescription: { CreatedBy: command, EmptyLayer: empty } });
  const show = async (history: object[]) => {
    page.search.images = [
      {
        repository: "a",
        tag: "1",
        fields: { Manifests: [{ ...platform("a", "linux", "amd64", layers), History: history }] },
      },
    ];
    return text(await page.client.request("GET", "/r/a:1"));
  };
  const fitting = await show([told(false, "ADD one"), told(true, "ENV x=1"), told(false, "/bin/sh -c make")]);
  assert.match(fitting, /ADD one[\s\S]*?sha256[\s\S]*?ENV x=1[\s\S]*?no layer[\s\S]*?RUN make[\s\S]*?sha256/);
  assert.match(fitting, /<rect width="100" height="4"\/>[\s\S]*<rect width="50" height="4"\/>/);
  const odd = await show([told(false, "ADD one")]);
  assert.doesNotMatch(odd, /ADD one/);
  assert.match(odd, /100 B[\s\S]*50 B/);
});

test("the pull command names the registry as its reader reaches it", async (t) => {
  const { client, origin } = await startPage(t);
  const command = async (path: string, host?: string) => {
    const headers = host === undefined ? {} : { headers: { Host: host } };
    return /data-copy="((?:docker|oras) pull [^"]+)"/.exec(text(await client.request("GET", path, headers)))?.[1];
  };
  const image = "/r/library/alpine:3.20";
  assert.equal(await command(image), `docker pull ${origin.slice("http://".length)}/library/alpine:3.20`);
  assert.equal(await command(image, "hub.example.com"), "docker pull hub.example.com/library/alpine:3.20");
  assert.equal(await command(image, "[::1]:5000"), "docker pull [::1]:5000/library/alpine:3.20");
  assert.equal(await command(image, "a b"), "docker pull library/alpine:3.20");
  assert.equal(await command("/r/charts/ingress:4.11.3", "h"), "oras pull h/charts/ingress:4.11.3");
});

test("members are shown with their stores, and which of them does not answer", async (t) => {
  const page = await startPage(t);
  page.overview = async () => ({
    members: [
      {
        id: "east",
        isSelf: true,
        isReachable: true,
        version: "0.1.0",
        stores: [
          { kind: "blob", ready: false, reason: "BACKEND_DOWN", problem: "nobody answers there", prefix: "team" },
        ],
      },
      { id: "west", isSelf: false, isReachable: false, problem: "connection refused" },
      { id: "north", isSelf: false, isReachable: true, version: "0.1.0", stores: [] },
    ],
  });
  const body = text(await page.client.request("GET", "/members"));
  assert.match(body, /1 of 3 well/);
  assert.match(
    body,
    /east <span class="badge poor">in trouble[\s\S]*answers you[\s\S]*team\/[\s\S]*not ready[\s\S]*BACKEND_DOWN[\s\S]*Nobody answers there\./,
  );
  assert.match(body, /west <span class="badge bad">does not answer<[\s\S]*Connection refused\./);
});
