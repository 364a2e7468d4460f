import assert from "node:assert/strict";
import { test } from "node:test";
import { imagePath, matchPage, repositoryPath, withQuery } from "../../../registry/page/routes.ts";

test("the page's paths are told from each other, and from everything else", () => {
  assert.deepEqual(matchPage("/"), { kind: "repositories" });
  assert.deepEqual(matchPage("/members"), { kind: "members" });
  assert.deepEqual(matchPage("/r/team/app"), { kind: "repository", name: "team/app" });
  assert.deepEqual(matchPage("/r/team/app:1.0"), { kind: "image", name: "team/app", tag: "1.0" });
  assert.deepEqual(matchPage("/r/team%2Fapp%3A1.0"), { kind: "image", name: "team/app", tag: "1.0" });
  assert.deepEqual(matchPage("/assets/page.js"), { kind: "asset", file: "page.js" });
  for (const path of [
    "/v2/",
    "/v2/_catalog",
    "/livez",
    "/readyz",
    "/metrics",
    "/members/",
    "/r",
    "/assets",
    "/x",
    "//",
  ])
    assert.equal(matchPage(path), undefined, path);
});

test("what is below them and names nothing says what would be right", () => {
  for (const path of [
    "/r/",
    "/r/Team",
    "/r/a//b",
    "/r/../etc",
    "/r/a:",
    "/r/a:b:c",
    "/r/a:-x",
    "/r/%ff",
    "/r/a@sha256:0",
  ]) {
    const route = matchPage(path);
    assert.equal(route?.kind, "nothing", path);
    assert.match(route?.kind === "nothing" ? route.why : "", /^The address .*(?:\/r\/name|UTF-8)/, path);
  }
});

test("links lead back to what they were made of, and never off the registry", () => {
  assert.deepEqual(matchPage(repositoryPath("a/b-c/d.e")), { kind: "repository", name: "a/b-c/d.e" });
  assert.deepEqual(matchPage(imagePath("a/b", "V_1.0-rc")), { kind: "image", name: "a/b", tag: "V_1.0-rc" });
  // What a lying member may call a repository.
  for (const name of ["/evil.example", "javascript:alert(1)", "\\evil", "a?b#c"]) {
    const url = new URL(imagePath(name, "x/../../y?"), "http://registry.example/");
    assert.equal(url.origin, "http://registry.example");
    assert.ok(url.pathname.startsWith("/r/"), url.href);
    assert.equal(url.search + url.hash, "");
  }
});

test("a query leaves out what is empty", () => {
  assert.equal(withQuery("/", { q: "a b&c", sort: undefined, os: "", page: 2 }), "/?q=a+b%26c&page=2");
  assert.equal(withQuery("/", { q: "" }), "/");
});
