/** Which account, where, and as whom: from the options, else from the places where Azure's own tools look. */
import { readFileSync } from "node:fs";
import type { TokenCredential } from "@azure/identity";
import { invalidField } from "../../proto/keys.ts";
import { environmentOf, flagOf } from "../../server/option-values.ts";
import type { AzureOptions } from "./options.ts";

export type Credentials =
  | { readonly kind: "key"; readonly account: string; readonly key: string }
  /** Without its question mark. */
  | { readonly kind: "sas"; readonly token: string }
  | { readonly kind: "identity"; readonly load: () => Promise<TokenCredential> };

export interface Account {
  /** "" where the endpoint alone says it. */
  readonly name: string;
  /** Of the blob service, without a slash at its end. */
  readonly url: string;
  readonly credentials: Credentials;
}

type Named = Pick<
  AzureOptions,
  | "account"
  | "endpoint"
  | "accountKey"
  | "accountKeyFile"
  | "sasToken"
  | "sasTokenFile"
  | "connectionString"
  | "connectionStringFile"
>;

/** @throws INVALID_FIELD with a sentence that names the option */
export function accountOf(options: Named, environment: Readonly<Record<string, string | undefined>>): Account {
  const given = secretsOf(options);
  const own = Object.keys(given) as (keyof typeof given)[];
  if (own.length > 1) {
    throw invalidField(own[1] ?? "", `stands beside ${flagOf(own[0] ?? "")}: give one of them`);
  }
  // What the environment says of the account counts only where no option says as whom.
  const fallback =
    own.length === 0
      ? {
          connectionString: environment["AZURE_STORAGE_CONNECTION_STRING"],
          accountKey: environment["AZURE_STORAGE_KEY"],
          sasToken: environment["AZURE_STORAGE_SAS_TOKEN"],
        }
      : {};
  const secrets = { ...fallback, ...given };
  const said = secrets.connectionString === undefined ? {} : connectionOf(secrets.connectionString);
  const name = options.account ?? said.AccountName ?? environment["AZURE_STORAGE_ACCOUNT"] ?? "";
  const url = urlOf(options.endpoint, said, name);
  const key = said.AccountKey ?? secrets.accountKey;
  const token = said.SharedAccessSignature ?? secrets.sasToken;
  if (key !== undefined) {
    if (name === "") throw invalidField("account", "is needed with an account key: whose key is it");
    return { name, url, credentials: { kind: "key", account: name, key: keyOf(key) } };
  }
  if (token !== undefined) return { name, url, credentials: { kind: "sas", token: sasOf(token) } };
  return { name, url, credentials: { kind: "identity", load: defaultCredential } };
}

/** Managed and workload identities, a service principal's variables, and what developers are logged in with. */
async function defaultCredential(): Promise<TokenCredential> {
  const { DefaultAzureCredential } = await import("@azure/identity");
  return new DefaultAzureCredential();
}

function secretsOf(options: Named) {
  const one = (name: "accountKey" | "sasToken" | "connectionString") => {
    const path = options[`${name}File`];
    if (options[name] !== undefined && path !== undefined) {
      throw invalidField(`${name}File`, `stands beside ${flagOf(name)}: give one of them`);
    }
    const value = path === undefined ? options[name] : readSecret(`${name}File`, path);
    return value === undefined ? {} : { [name]: value };
  };
  return { ...one("accountKey"), ...one("sasToken"), ...one("connectionString") } as Partial<
    Record<"accountKey" | "sasToken" | "connectionString", string>
  >;
}

function readSecret(option: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw invalidField(option, `cannot be read: ${(error as Error).message}`);
  }
  if (text === "") throw invalidField(option, `is empty: ${path}`);
  return text;
}

/** "AccountName=…;AccountKey=…". https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string */
interface Connection {
  readonly DefaultEndpointsProtocol?: string;
  readonly AccountName?: string;
  readonly AccountKey?: string;
  readonly BlobEndpoint?: string;
  readonly EndpointSuffix?: string;
  readonly SharedAccessSignature?: string;
}

const DEVELOPMENT: Connection = {
  AccountName: "devstoreaccount1",
  // Public: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
  AccountKey: "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
  BlobEndpoint: "http://127.0.0.1:10000/devstoreaccount1",
};

function connectionOf(text: string): Connection {
  const said = Object.fromEntries(
    text
      .split(";")
      .filter((part) => part.trim() !== "")
      .map((part) => {
        const at = part.indexOf("=");
        return [part.slice(0, at).trim(), part.slice(at + 1).trim()];
      }),
  );
  if (/^true$/i.test(said["UseDevelopmentStorage"] ?? "")) return DEVELOPMENT;
  const connection: Connection = said;
  if (connection.AccountKey === undefined && connection.SharedAccessSignature === undefined) {
    throw invalidField("connectionString", "names neither an AccountKey nor a SharedAccessSignature");
  }
  if (connection.AccountName === undefined && connection.BlobEndpoint === undefined) {
    throw invalidField("connectionString", "names neither an AccountName nor a BlobEndpoint");
  }
  return connection;
}

function urlOf(endpoint: string | undefined, said: Connection, name: string): string {
  const text = endpoint ?? said.BlobEndpoint;
  if (text === undefined) {
    if (name === "") {
      const environment = environmentOf("account");
      throw invalidField("account", `is needed: give --account, ${environment}, AZURE_STORAGE_ACCOUNT or --endpoint`);
    }
    if (!/^[a-z0-9]{3,24}$/.test(name)) {
      throw invalidField("account", "must be a storage account's name: 3 to 24 lower-case letters and digits");
    }
    return `${said.DefaultEndpointsProtocol ?? "https"}://${name}.blob.${said.EndpointSuffix ?? "core.windows.net"}`;
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalidField("endpoint", "must be a URL as https://ACCOUNT.blob.core.windows.net");
  }
  if (!/^https?:$/.test(url.protocol) || url.search !== "" || url.username !== "" || url.hash !== "") {
    throw invalidField("endpoint", "must be an http or https URL without a query: a signature goes into --sas-token");
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

function keyOf(text: string): string {
  if (!/^[A-Za-z0-9+/]{40,}={0,2}$/.test(text)) {
    throw invalidField("accountKey", "is not an account key: those are base64, as the portal shows them");
  }
  return text;
}

function sasOf(text: string): string {
  const token = text.replace(/^\?/, "");
  const query = new URLSearchParams(token);
  if (query.get("sig") === null) {
    throw invalidField("sasToken", "is not a shared access signature: it has no sig=, as the portal shows it");
  }
  const expires = Date.parse(query.get("se") ?? "");
  if (expires < Date.now()) {
    throw invalidField("sasToken", `has expired at ${new Date(expires).toISOString()}: make a new one`);
  }
  return token;
}
