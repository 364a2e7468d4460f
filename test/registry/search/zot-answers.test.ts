/** What zot answered to 37 queries over a small world of images: this registry answers the same. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fixture, searching } from "./world.ts";

interface Recorded {
  readonly name: string;
  readonly query: string;
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: any answer
  readonly answer: any;
}

const recorded: readonly Recorded[] = fixture("zot-answers.json");

/** Set by a server's clock: of repositories, not of images, whose time is in their config. */
const SERVER_TIME = /^2026-11-20T21:0/;

function withoutServerTimes(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (_, each) =>
    typeof each === "string" && SERVER_TIME.test(each) ? "a server's time" : each,
  );
}

/** Where zot is mistaken: what is right, and why. */
const mistakes: Readonly<Record<string, (answer: Recorded["answer"]) => void>> = {
  // An image or its index says who its vendor is, and its repository says that there is none.
  "repos newest, all": (answer) => vendors(answer.data.RepoListWithNewestImage.Results),
  "expanded repo info": (answer) => vendors([answer.data.ExpandedRepoInfo.Summary]),
  "global search: repos": (answer) => vendors(answer.data.GlobalSearch.Repos),
  // The schema has clients write GOARCH, which has no variants: arm64 is there as arm64/v8, too.
  "global search: filter by arch": ({ data }) => {
    const platforms = [
      { Os: "linux", Arch: "amd64" },
      { Os: "linux", Arch: "arm64/v8" },
    ];
    data.GlobalSearch.Repos.unshift({ Name: "base/alpine", Platforms: platforms });
    data.GlobalSearch.Page = { TotalCount: 2, ItemCount: 2 };
  },
};

function vendors(repositories: { Name: string; Vendors: string[] }[]): void {
  for (const repository of repositories) {
    const vendor = { "base/alpine": "Alpine", "team/app": "Team" }[repository.Name];
    if (vendor !== undefined) repository.Vendors = [vendor];
  }
}

describe("what zot answered", () => {
  it("is all of 37 answers", () => assert.equal(recorded.length, 37));

  for (const { name, query, status, answer } of recorded) {
    // Over HTTP alone: http.test.ts.
    if (status === 400) continue;
    it(`${name}${mistakes[name] ? " (where zot is mistaken)" : ""}`, async () => {
      const { status: got, ...ours } = await searching().ask(query);
      mistakes[name]?.(answer);
      assert.deepEqual(withoutServerTimes(ours), withoutServerTimes(answer));
      assert.equal(got, status);
      assert.equal(
        JSON.stringify(withoutServerTimes(ours)),
        JSON.stringify(withoutServerTimes(answer)),
        "also its members' order is the same",
      );
    });
  }
});
