/** The documents that zot's command line (zli) and its web page (zui) send: all are valid, and all are answered. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { getIntrospectionQuery } from "graphql";
import { FakeScanner } from "./fake-scanner.ts";
import { fixture, searching, worldSource } from "./world.ts";

const documents: readonly { readonly client: string; readonly name: string; readonly query: string }[] =
  fixture("client-documents.json");

describe("what zot's clients send", () => {
  for (const { client, name, query } of documents) {
    it(`${client}: ${name}`, async () => {
      const { ask } = searching(worldSource(), new FakeScanner());
      const answer = await ask(query);
      assert.deepEqual(answer.errors, undefined);
      assert.equal(answer.status, 200);
      assert.ok(answer.data);
    });
  }

  it("zli finds the queries it needs, with their arguments in its order", async () => {
    const query = documents.find(({ name }) => name === "what queries there are")?.query ?? "";
    const { data } = await searching().ask(query);
    // biome-ignore lint/suspicious/noExplicitAny: an introspection's answer
    const { queryType, types } = (data as any).__schema;
    const named = Object.fromEntries(
      queryType.fields.map(({ name, args }: { name: string; args: { name: string }[] }) => [
        name,
        args.map((arg) => arg.name).join(" "),
      ]),
    );
    // What it looks for before it asks (project-zot/zot, pkg/cli/client/gql_queries.go).
    assert.deepEqual(Object.fromEntries(Object.keys(NEEDED).map((name) => [name, named[name]])), NEEDED);
    assert.equal(Object.keys(named).length, 15);
    const names = types.map(({ name }: { name: string }) => name);
    for (const type of [
      "CVEResultForImage",
      "CVEDiffResult",
      "PaginatedImagesResult",
      "Referrer",
      "GlobalSearchResult",
    ]) {
      assert.ok(names.includes(type), type);
    }
  });

  it("a whole introspection is answered, too", async () => {
    const answer = await searching().ask(getIntrospectionQuery());
    assert.equal(answer.errors, undefined);
  });
});

const NEEDED = {
  ImageList: "repo requestedPage",
  CVEDiffListForImages: "minuend subtrahend requestedPage searchedCVE excludedCVE",
  ImageListForDigest: "id requestedPage",
  BaseImageList: "image digest requestedPage",
  DerivedImageList: "image digest requestedPage",
  CVEListForImage: "image requestedPage searchedCVE excludedCVE severity",
  ImageListForCVE: "id filter requestedPage",
  ImageListWithCVEFixed: "id image filter requestedPage",
  Referrers: "repo digest type",
  GlobalSearch: "query filter requestedPage",
};
