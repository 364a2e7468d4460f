/** What a page costs does not grow with the registry: counted in repositories, images and records that are looked at. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { GraphQlAnswer } from "../../../registry/search/answer.ts";
import type { RepositoryOrder, RepositoryView } from "../../../registry/search/contract.ts";
import { FakeSource } from "./fake-source.ts";
import { searching } from "./world.ts";

/** Counts what is taken out of it. */
class CountingSource extends FakeSource {
  taken = 0;
  imagesSeen = 0;

  override *repositories(order: RepositoryOrder, offset = 0): Iterable<RepositoryView> {
    for (const repository of super.repositories(order, offset)) {
      this.taken += 1;
      yield {
        ...repository,
        image: (digest) => {
          this.imagesSeen += 1;
          return repository.image(digest);
        },
      };
    }
  }
}

function registryOf(count: number): CountingSource {
  const source = new CountingSource();
  const record = {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    sizeBytes: 500,
    layers: [{ digest: `sha256:${"a".repeat(64)}`, sizeBytes: 100 }],
  };
  for (let n = 0; n < count; n += 1) {
    const digest = `sha256:${n.toString(16).padStart(64, "0")}`;
    source.put(`group${n % 10}/app-${String(n).padStart(6, "0")}`, digest, record, ["1.0", "latest"], 1_000_000 + n);
  }
  return source;
}

const LISTS = ["RepoListWithNewestImage", 'GlobalSearch(query:"" PAGE)', 'ImageList(repo:"" PAGE)'] as const;
const ORDERS = ["ALPHABETIC_ASC", "ALPHABETIC_DSC", "UPDATE_TIME", "DOWNLOADS", "RELEVANCE"] as const;

function pageOf(data: GraphQlAnswer["data"], key: string): unknown {
  return (data?.[key] as { readonly Page: unknown } | undefined)?.Page;
}

describe("a page of 50", () => {
  const sizes = [1_100, 11_000].map((count) => registryOf(count));

  for (const list of LISTS) {
    for (const sortBy of ORDERS) {
      // Of images, by time or pulls, all are looked at in memory: there is no order of them to go by.
      if (list.startsWith("ImageList") && (sortBy === "UPDATE_TIME" || sortBy === "DOWNLOADS")) continue;
      for (const offset of [0, 1_000]) {
        it(`of ${list} by ${sortBy} from ${offset} costs the same of 1,100 and of 11,000 repositories`, async () => {
          const costs: unknown[] = [];
          for (const source of sizes) {
            Object.assign(source, { taken: 0, imagesSeen: 0 });
            source.recordsRead.length = 0;
            const page = `requestedPage:{limit:50 offset:${offset} sortBy:${sortBy}}`;
            const call = list.includes("PAGE") ? list.replace("PAGE", page) : `${list}(${page})`;
            const items = list.startsWith("ImageList")
              ? "Results{RepoName Tag Title}"
              : `${list.startsWith("Global") ? "Repos" : "Results"}{Name Size NewestImage{Title}}`;
            const { data, errors } = await searching(source).ask(`{q:${call}{Page{ItemCount} ${items}}}`);
            assert.equal(errors, undefined);
            assert.deepEqual(pageOf(data, "q"), { ItemCount: 50 });
            const { taken, imagesSeen } = source;
            costs.push({ taken, imagesSeen, records: source.recordsRead.length });
          }
          assert.deepEqual(costs[1], costs[0]);
          const [{ taken, records }] = costs as [{ taken: number; records: number }];
          const skippedByCount = list.startsWith("ImageList") ? offset / 2 : 0;
          assert.ok(taken <= 50 + skippedByCount + 1, `${taken} repositories were taken`);
          assert.ok(records <= 50, `${records} records were read`);
        });
      }
    }
  }

  it("of a search by part of a name reads the records of the page alone", async () => {
    const [, source] = sizes;
    assert.ok(source);
    source.recordsRead.length = 0;
    Object.assign(source, { imagesSeen: 0 });
    const query =
      '{GlobalSearch(query:"app" requestedPage:{limit:50}){Page{TotalCount} Repos{Name Size NewestImage{Title}}}}';
    const { data } = await searching(source).ask(query);
    assert.deepEqual(pageOf(data, "GlobalSearch"), { TotalCount: 11_000 });
    assert.equal(source.recordsRead.length, 50);
    assert.ok(source.imagesSeen < 1_000, `${source.imagesSeen} images were looked at`);
  });

  it("that was read before is not read again", async () => {
    const [source] = sizes;
    assert.ok(source);
    const { ask } = searching(source);
    const query = "{RepoListWithNewestImage(requestedPage:{limit:50}){Results{Size}}}";
    const first = await ask(query);
    source.recordsRead.length = 0;
    assert.deepEqual(await ask(query), first);
    assert.deepEqual(source.recordsRead, []);
  });
});
