/**
 * The schema of searches: zot's, field for field (project-zot/zot, pkg/extensions/search/schema.graphql), so that its web
 * page and its command line work against this registry. Field names begin with a capital letter, sizes of images are text.
 */
import { buildSchema, GraphQLError, type GraphQLSchema, Kind } from "graphql";

const SDL = /* GraphQL */ `
"A moment, as RFC 3339 writes it. Null: not known."
scalar Time

"Some of a list. Empty: all of it."
input PageInput {
  "How many at most; 0 or absent, at offset 0: all. Not negative, at most 10000."
  limit: Int
  "How many to leave out before them. Not negative."
  offset: Int
  sortBy: SortCriteria
}

enum SortCriteria {
  "How well the name fits what was searched for, then by name."
  RELEVANCE
  "Newest first."
  UPDATE_TIME
  ALPHABETIC_ASC
  ALPHABETIC_DSC
  "Of vulnerabilities: worst first."
  SEVERITY
  "Not supported, as in zot."
  STARS
  "Most pulled first."
  DOWNLOADS
}

"What a repository or image must have. Lists: any one of these."
input Filter {
  "As GOOS writes it."
  Os: [String]
  "As GOARCH writes it, or with a variant: arm64/v8."
  Arch: [String]
  HasToBeSigned: Boolean
  IsBookmarked: Boolean
  IsStarred: Boolean
}

input PlatformInput {
  Os: String
  Arch: String
}

input ImageInput {
  Repo: String!
  Tag: String!
  "Of one of an index's images."
  Digest: String
  "Of one of an index's images."
  Platform: PlatformInput
}

type PageInfo {
  "On all pages."
  TotalCount: Int!
  "On this page."
  ItemCount: Int!
}

type Annotation {
  Key: String
  Value: String
}

type Platform {
  Os: String
  "With its variant, where it has one: arm64/v8."
  Arch: String
}

type LayerSummary {
  "Bytes."
  Size: String
  Digest: String
}

type HistoryDescription {
  Created: Time
  CreatedBy: String
  Author: String
  Comment: String
  "It made no layer."
  EmptyLayer: Boolean
}

type LayerHistory {
  Layer: LayerSummary
  HistoryDescription: HistoryDescription
}

type Referrer {
  MediaType: String
  ArtifactType: String
  "Bytes of the manifest."
  Size: Int
  Digest: String
  Annotations: [Annotation]!
}

type SignatureSummary {
  "cosign or notation."
  Tool: String
  IsTrusted: Boolean
  Author: String
}

type ImageVulnerabilitySummary {
  "Empty: not scanned. NONE, UNKNOWN, LOW, MEDIUM, HIGH, CRITICAL."
  MaxSeverity: String
  Count: Int
  UnknownCount: Int
  LowCount: Int
  MediumCount: Int
  HighCount: Int
  CriticalCount: Int
}

"One image of those that a tag stands for."
type ManifestSummary {
  Digest: String
  ConfigDigest: String
  LastUpdated: Time
  "Bytes of manifest, config and layers."
  Size: String
  IsSigned: Boolean
  SignatureInfo: [SignatureSummary]
  Platform: Platform
  DownloadCount: Int
  Layers: [LayerSummary]
  History: [LayerHistory]
  Vulnerabilities: ImageVulnerabilitySummary
  Referrers: [Referrer]
  "The manifest's own, else its config's media type."
  ArtifactType: String
}

"What a tag of a repository stands for."
type ImageSummary {
  RepoName: String
  Tag: String
  Digest: String
  MediaType: String
  "One, or those of an index."
  Manifests: [ManifestSummary]
  "Bytes of manifests, configs and layers."
  Size: String
  DownloadCount: Int
  LastPullTimestamp: Time
  PushTimestamp: Time
  TaggedTimestamp: Time
  "When it was made, as its annotations or config say."
  LastUpdated: Time
  Description: String
  IsSigned: Boolean
  SignatureInfo: [SignatureSummary]
  Licenses: String
  Labels: String
  Title: String
  Source: String
  Documentation: String
  Vendor: String
  Authors: String
  Vulnerabilities: ImageVulnerabilitySummary
  Referrers: [Referrer]
  "Whether who asks may delete the tag; null where that was not looked at."
  IsDeletable: Boolean
  ArtifactType: String
}

type RepoSummary {
  Name: String
  "The newest push of a tag."
  LastUpdated: Time
  "Bytes of all that its tags stand for, each blob once."
  Size: String
  Platforms: [Platform]
  Vendors: [String]
  "Of the tag that was pushed last."
  NewestImage: ImageSummary
  DownloadCount: Int
  StarCount: Int
  IsBookmarked: Boolean
  IsStarred: Boolean
  "How well the name fits what was searched for: 0 is best."
  Rank: Int
}

type RepoInfo {
  Images: [ImageSummary]
  Summary: RepoSummary
}

type PaginatedReposResult {
  Page: PageInfo
  Results: [RepoSummary!]!
}

type PaginatedImagesResult {
  Page: PageInfo
  Results: [ImageSummary!]!
}

type GlobalSearchResult {
  Page: PageInfo
  Images: [ImageSummary]
  Repos: [RepoSummary]
  "Always empty, as in zot."
  Layers: [LayerSummary]
}

type PackageInfo {
  Name: String
  PackagePath: String
  InstalledVersion: String
  FixedVersion: String
}

type CVE {
  Id: String
  Title: String
  Description: String
  Reference: String
  "UNKNOWN, LOW, MEDIUM, HIGH or CRITICAL."
  Severity: String
  PackageList: [PackageInfo]
}

type CVEResultForImage {
  "Or the digest that was asked for."
  Tag: String
  CVEList: [CVE]
  Summary: ImageVulnerabilitySummary
  Page: PageInfo
}

type ImageIdentifier {
  Repo: String!
  Tag: String!
  Digest: String
  Platform: Platform
}

type CVEDiffResult {
  Minuend: ImageIdentifier!
  Subtrahend: ImageIdentifier!
  "Those of the minuend that the subtrahend has not."
  CVEList: [CVE]
  Summary: ImageVulnerabilitySummary
  Page: PageInfo
}

type Query {
  "Vulnerabilities of the image repo:tag or repo@digest."
  CVEListForImage(
    image: String!
    requestedPage: PageInput
    searchedCVE: String
    excludedCVE: String
    severity: String
  ): CVEResultForImage!
  "Vulnerabilities of one image that another one has not. A subtrahend without Repo: the minuend's nearest base image."
  CVEDiffListForImages(
    minuend: ImageInput!
    subtrahend: ImageInput!
    requestedPage: PageInput
    searchedCVE: String
    excludedCVE: String
  ): CVEDiffResult!
  "Images that have a vulnerability."
  ImageListForCVE(id: String!, filter: Filter, requestedPage: PageInput): PaginatedImagesResult!
  "Images of the repository 'image' that are newer than the first with the vulnerability, and have it no more."
  ImageListWithCVEFixed(id: String!, image: String!, filter: Filter, requestedPage: PageInput): PaginatedImagesResult!
  "Images that have the digest as manifest, config or layer."
  ImageListForDigest(id: String!, requestedPage: PageInput): PaginatedImagesResult!
  "All repositories."
  RepoListWithNewestImage(requestedPage: PageInput): PaginatedReposResult!
  "Images of a repository; of all, where it is empty."
  ImageList(repo: String!, requestedPage: PageInput): PaginatedImagesResult!
  ExpandedRepoInfo(repo: String!): RepoInfo!
  "Part of a repository's name; repo:part of a tag; :part of a tag; or a digest."
  GlobalSearch(query: String!, filter: Filter, requestedPage: PageInput): GlobalSearchResult!
  "Images that have all layers of the image repo:tag."
  DerivedImageList(image: String!, digest: String, requestedPage: PageInput): PaginatedImagesResult!
  "Images all of whose layers the image repo:tag has."
  BaseImageList(image: String!, digest: String, requestedPage: PageInput): PaginatedImagesResult!
  "The image repo:tag."
  Image(image: String!): ImageSummary!
  "Manifests whose subject is the digest; of these artifact types, where there are any."
  Referrers(repo: String!, digest: String!, type: [String!]): [Referrer]!
  "Of who asks."
  StarredRepos(requestedPage: PageInput): PaginatedReposResult!
  "Of who asks."
  BookmarkedRepos(requestedPage: PageInput): PaginatedReposResult!
}
`;

export const schema: GraphQLSchema = makeSchema();

function makeSchema(): GraphQLSchema {
  const made = buildSchema(SDL);
  const time = made.getType("Time");
  // No query takes a Time: what is answered is a text already.
  Object.assign(time ?? {}, {
    serialize: (value: unknown) => value,
    parseValue: refuseTime,
    parseLiteral: (node: { readonly kind: Kind }) => (node.kind === Kind.NULL ? null : refuseTime()),
  });
  return made;
}

function refuseTime(): never {
  throw new GraphQLError("no query takes a Time");
}
