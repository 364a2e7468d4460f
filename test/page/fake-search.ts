/** A search over a small world that lies in memory: answers the page's own documents, with every field of their rows. */
import type { Account } from "../../registry/auth/contract.ts";
import type { Ask, GraphQlAnswer, GraphQlError, GraphQlRequest } from "../../registry/page/contract.ts";
import { digestFor, type Fields, layer, minutesAgo, platform, smallWorld, type WorldImage } from "./world.ts";

export interface FakeSearch {
  readonly ask: Ask;
  readonly requests: GraphQlRequest[];
  images: WorldImage[];
  /** Added to each answer that has data. */
  errors: GraphQlError[];
  /** Instead of an answer. */
  failure: ((request: GraphQlRequest) => unknown) | undefined;
  /** What an answer waits for. */
  gate: (request: GraphQlRequest) => Promise<void>;
}

function whole({ repository, tag, fields = {} }: WorldImage): Fields {
  const seed = `${repository}:${tag}`;
  const manifests = (fields["Manifests"] as Fields[] | undefined) ?? [
    platform(seed, "linux", "amd64", [layer(`${seed}/0`, 3_400_000), layer(`${seed}/1`, 21_000)]),
  ];
  return {
    RepoName: repository,
    Tag: tag,
    Digest: manifests.length === 1 ? manifests[0]?.["Digest"] : digestFor(seed),
    MediaType: `application/vnd.oci.image.${manifests.length === 1 ? "manifest" : "index"}.v1+json`,
    ArtifactType: "",
    Size: String(manifests.reduce((sum, each) => sum + Number(each["Size"]), 0)),
    LastUpdated: "2026-10-01T08:30:00Z",
    PushTimestamp: minutesAgo(90),
    TaggedTimestamp: minutesAgo(90),
    LastPullTimestamp: "0001-01-01T00:00:00Z",
    DownloadCount: 0,
    IsSigned: false,
    SignatureInfo: [],
    Title: "",
    Description: "",
    Vendor: "",
    Authors: "",
    Licenses: "",
    Source: "",
    Documentation: "",
    Labels: "",
    Referrers: [],
    Vulnerabilities: { MaxSeverity: "", Count: 0 },
    ...fields,
    Manifests: manifests,
  };
}

function summary(name: string, images: readonly Fields[]): Fields {
  const byTime = [...images].sort((a, b) => String(a["TaggedTimestamp"]).localeCompare(String(b["TaggedTimestamp"])));
  const newest = byTime.at(-1) ?? {};
  return {
    Name: name,
    LastUpdated: newest["TaggedTimestamp"],
    Size: String(images.reduce((sum, image) => sum + Number(image["Size"]), 0)),
    Platforms: images.flatMap((image) => (image["Manifests"] as Fields[]).map((manifest) => manifest["Platform"])),
    DownloadCount: images.reduce((sum, image) => sum + Number(image["DownloadCount"]), 0),
    StarCount: 0,
    NewestImage: newest,
  };
}

const NAME_ORDER = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

export function fakeSearch(images: WorldImage[] = smallWorld()): FakeSearch {
  const search: FakeSearch = {
    images,
    requests: [],
    errors: [],
    failure: undefined,
    gate: () => Promise.resolve(),
    async ask(request, account) {
      search.requests.push(request);
      await search.gate(request);
      const failed = search.failure?.(request);
      if (failed instanceof Error) throw failed;
      if (failed !== undefined) return failed as GraphQlAnswer;
      const answer = answerOf(search.images, request, account);
      return search.errors.length === 0 || answer.data === null
        ? answer
        : { ...answer, errors: [...(answer.errors ?? []), ...search.errors] };
    },
  };
  return search;
}

function answerOf(
  world: readonly WorldImage[],
  { query, variables = {} }: GraphQlRequest,
  account: Account,
): GraphQlAnswer {
  const images = world.filter(({ repository }) => account.mayRead(repository)).map(whole);
  const names = [...new Set(images.map((image) => String(image["RepoName"])))].sort(NAME_ORDER);
  const of = (name: unknown) => images.filter((image) => image["RepoName"] === name);
  const summaries = names.map((name) => summary(name, of(name)));
  const page = (variables["page"] ?? {}) as { limit?: number; offset?: number; sortBy?: string };
  const data: Fields = {};
  if (query.includes("RepoListWithNewestImage(")) data["RepoListWithNewestImage"] = paged(summaries, page, "Results");
  if (query.includes("ImageList(")) data["ImageList"] = paged(of(variables["name"]), page, "Results");
  if (query.includes("ExpandedRepoInfo(")) {
    const found = of(variables["name"]);
    if (found.length === 0) return refusal("repo metadata not found for given repo name", "ExpandedRepoInfo");
    data["ExpandedRepoInfo"] = { Summary: summary(String(variables["name"]), found) };
  }
  if (query.includes("GlobalSearch(")) {
    const text = String(variables["query"]).toLowerCase();
    const filter = (variables["filter"] ?? {}) as { Os?: string[]; Arch?: string[]; HasToBeSigned?: boolean };
    const [repository = "", tag, more] = text.startsWith("sha256:") ? [text] : text.split(":");
    if (more !== undefined) return refusal("failed to parse search text, invalid format", "GlobalSearch");
    if (tag !== undefined || text.startsWith("sha256:")) {
      const fits = (image: Fields) =>
        tag === undefined
          ? image["Digest"] === text
          : String(image["Tag"]).startsWith(tag) && (repository === "" || image["RepoName"] === repository);
      data["GlobalSearch"] = { ...paged(images.filter(fits), page, "Images"), Repos: null };
    } else {
      const fits = ({ Name, Platforms, NewestImage }: Fields) => {
        const platforms = Platforms as Fields[];
        return (
          String(Name).includes(text) &&
          (filter.Os === undefined || platforms.some((each) => filter.Os?.includes(String(each["Os"])))) &&
          (filter.Arch === undefined || platforms.some((each) => filter.Arch?.includes(String(each["Arch"])))) &&
          (filter.HasToBeSigned !== true || (NewestImage as Fields)["IsSigned"] === true)
        );
      };
      data["GlobalSearch"] = { ...paged(summaries.filter(fits), page, "Repos"), Images: [] };
    }
  }
  if (query.includes("Image(image:")) {
    const found = images.find((image) => `${image["RepoName"]}:${image["Tag"]}` === variables["image"]);
    if (found === undefined) return refusal(`can't find image: ${variables["image"]}`, "Image");
    data["Image"] = found;
  }
  return { data };
}

function refusal(message: string, field: string): GraphQlAnswer {
  return { errors: [{ message, path: [field] }], data: null };
}

function paged(
  rows: readonly Fields[],
  page: { limit?: number; offset?: number; sortBy?: string },
  key: string,
): Fields {
  const name = (row: Fields) => String(row["Name"] ?? row["Tag"]);
  const sorted = [...rows].sort((a, b) => {
    if (page.sortBy === "UPDATE_TIME") {
      const [one, other] = [a, b].map((row) => String(row["TaggedTimestamp"] ?? row["LastUpdated"]));
      if (one !== other) return NAME_ORDER(other ?? "", one ?? "");
    }
    if (page.sortBy === "DOWNLOADS" && a["DownloadCount"] !== b["DownloadCount"])
      return Number(b["DownloadCount"]) - Number(a["DownloadCount"]);
    return page.sortBy === "ALPHABETIC_DSC" ? NAME_ORDER(name(b), name(a)) : NAME_ORDER(name(a), name(b));
  });
  const offset = page.offset ?? 0;
  const slice = sorted.slice(offset, offset + (page.limit || sorted.length));
  return { Page: { TotalCount: rows.length, ItemCount: slice.length }, [key]: slice };
}
