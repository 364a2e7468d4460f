/** Who answers a query: the owner of the one repository it is about, or every member (docs: the table of members). */
import type { Order, PageInput } from "../page.ts";
import { assertCvePage } from "../queries/cve.ts";
import type { CveDiffArgs } from "../queries/cve-diff.ts";
import { targetOf } from "../queries/global-search.ts";
import type { OwnerOf } from "./contract.ts";

export type Route =
  /** Of no repository: the schema itself. */
  | { readonly kind: "here" }
  | { readonly kind: "owner"; readonly member: string }
  | ({ readonly kind: "all" } & Listed)
  /** All, once the owner has told which layers the image has. */
  | ({ readonly kind: "layers"; readonly member: string } & Listed)
  | { readonly kind: "difference"; readonly minuend: string; readonly subtrahend: string };

/** What all answer with, to be merged. */
export interface Listed {
  readonly of: "repos" | "images";
  /** The field that has the items. */
  readonly list: "Results" | "Repos" | "Images";
  readonly usual: Order;
}

type Args = Readonly<Record<string, unknown>>;

const REPOS: Listed = { of: "repos", list: "Results", usual: "UPDATE_TIME" };
const IMAGES: Listed = { of: "images", list: "Results", usual: "RELEVANCE" };
const BY_TIME: Listed = { of: "images", list: "Results", usual: "UPDATE_TIME" };

/** @throws QueryError for what no member could answer */
export function routeOf(field: string, args: Args, ownerOf: OwnerOf): Route {
  const owner = (name: string): Route => ({ kind: "owner", member: ownerOf(name) });
  const text = (key: string) => String(args[key] ?? "");
  switch (field) {
    case "ImageList":
      return text("repo") === "" ? { kind: "all", ...IMAGES } : owner(text("repo"));
    case "ExpandedRepoInfo":
    case "Referrers":
      return owner(text("repo"));
    case "ImageListWithCVEFixed":
      return owner(text("image"));
    case "Image":
      return owner(before(text("image"), ":"));
    case "CVEListForImage":
      return owner(before(text("image"), text("image").includes("@") ? "@" : ":"));
    case "DerivedImageList":
    case "BaseImageList":
      return { kind: "layers", member: ownerOf(before(text("image"), ":")), ...BY_TIME };
    case "RepoListWithNewestImage":
    case "StarredRepos":
    case "BookmarkedRepos":
      return { kind: "all", ...REPOS };
    case "ImageListForDigest":
      return { kind: "all", ...IMAGES };
    case "ImageListForCVE":
      return { kind: "all", ...BY_TIME };
    case "GlobalSearch": {
      const target = targetOf(text("query"));
      if (target.kind === "image") return owner(target.name);
      if (target.kind === "repositories") return { kind: "all", of: "repos", list: "Repos", usual: "RELEVANCE" };
      return { kind: "all", of: "images", list: "Images", usual: "RELEVANCE" };
    }
    case "CVEDiffListForImages": {
      const { minuend, subtrahend } = args as unknown as CveDiffArgs;
      const member = ownerOf(minuend.Repo);
      // Without a subtrahend it is a base image in the same repository.
      if (subtrahend.Repo === "" || ownerOf(subtrahend.Repo) === member) return { kind: "owner", member };
      assertCvePage(args);
      return { kind: "difference", minuend: member, subtrahend: ownerOf(subtrahend.Repo) };
    }
    default:
      return { kind: "here" };
  }
}

function before(text: string, mark: string): string {
  const at = text.indexOf(mark);
  return at < 0 ? text : text.slice(0, at);
}

export type PageArgs = { readonly requestedPage?: PageInput | null };
