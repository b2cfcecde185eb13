// Runs one asynchronous function with what /client.js exports, and prints as JSON what it returns.
//
//     node run.mjs <folder of client.js> <URL of the service> <the function's text>

import { pathToFileURL } from "node:url";

const [folder, url, code] = process.argv.slice(2);
globalThis.location = new URL(url);
globalThis.addEventListener ??= () => {};
globalThis.removeEventListener ??= () => {};
const faults = [];
process.on("unhandledRejection", (error) => faults.push(`unhandled: ${error?.stack ?? error}`));

const exported = await import(pathToFileURL(`${folder}/client.js`));
const settled = (promise) =>
  promise.then(
    () => "done",
    (error) => `${error.code}: ${error.message}`,
  );
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const run = new Function("exported", "url", "settled", "wait", `return (${code})`);
const result = await run({ ...exported }, new URL("v1/signal", url), settled, wait)();
process.stdout.write(JSON.stringify({ result, faults }));
process.exit(0);
