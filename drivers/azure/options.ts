import type { OptionSpecs, OptionValues } from "../../server/contract.ts";
import { objectOptionSpecs } from "../../server/objects/options.ts";

export const optionSpecs = {
  container: { kind: "string", required: true, doc: "The container; it must be there." },
  account: {
    kind: "string",
    doc: "The storage account's name; default AZURE_STORAGE_ACCOUNT, or what the connection string says.",
  },
  endpoint: {
    kind: "string",
    doc: "Where the account answers, if not at https://ACCOUNT.blob.core.windows.net; of Azurite: http://HOST:10000/ACCOUNT.",
  },
  accountKey: { kind: "string", secret: true, doc: "The account's key; default AZURE_STORAGE_KEY." },
  accountKeyFile: { kind: "string", doc: "A file that holds the account's key." },
  sasToken: {
    kind: "string",
    secret: true,
    doc: "A shared access signature with read, add, create, write, delete and list; default AZURE_STORAGE_SAS_TOKEN.",
  },
  sasTokenFile: { kind: "string", doc: "A file that holds the shared access signature." },
  connectionString: {
    kind: "string",
    secret: true,
    doc: "Account, endpoint and key or signature in one; default AZURE_STORAGE_CONNECTION_STRING.",
  },
  connectionStringFile: { kind: "string", doc: "A file that holds the connection string." },
  requestTimeout: {
    kind: "duration",
    default: 60_000,
    doc: "How long the account may owe an answer, or the next bytes of one; at least 1s.",
  },
  ...objectOptionSpecs,
} as const satisfies OptionSpecs;

export type AzureOptions = OptionValues<typeof optionSpecs>;
