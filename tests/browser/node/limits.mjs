// Checks messages as /client.js does: one JSON text a line in, null or the sentence out.
//
//     node limits.mjs <folder of client.js>

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { LIMITS, checked } = await import(pathToFileURL(`${process.argv[2]}/client/limits.js`));
process.stdout.write(`${JSON.stringify(LIMITS)}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  let wrong = null;
  try {
    checked(JSON.parse(line));
  } catch (error) {
    wrong = error.name === "SignalpostError" ? error.message : `threw ${error.stack}`;
  }
  process.stdout.write(`${JSON.stringify(wrong)}\n`);
}
