/** The Azure store on Azurite: what server/objects relies on, by each of the ways that a copy and a listing can go. */

import { objectStoreSuite } from "../../helpers/object-store-suite.ts";
import { missing } from "../../helpers/tools.ts";
import { newContainer, startAzurite, storeOf } from "./azurite.ts";

const skip = missing("azurite", "azure-sdk");

objectStoreSuite(
  "azure",
  async (scope) => {
    const azurite = await startAzurite(scope);
    const { containerName } = await newContainer(azurite);
    return {
      store: await storeOf(azurite.endpoint, containerName),
      other: await storeOf(azurite.endpoint, containerName),
    };
  },
  { skip },
);
