// A Node process with a client of /client.js, which does what it is told on its standard input: one
// JSON {id, code} a line, answered by {id, outcome}. `code` is a function of (client, room, other).
//
//     node party.mjs <folder of client.js> <URL of the service> <token> <room>

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, url, token, name] = process.argv.slice(2);
// What of a browser the client looks for.
globalThis.location = new URL(url);
globalThis.addEventListener ??= () => {};
globalThis.removeEventListener ??= () => {};
const unhandled = [];
process.on("unhandledRejection", (error) => unhandled.push(String(error)));
process.on("uncaughtException", (error) => unhandled.push(String(error.stack ?? error)));

const { connect } = await import(pathToFileURL(`${folder}/client.js`));
const client = await connect({ url: new URL("v1/signal", url), token });
const states = [];
client.addEventListener("state", () => states.push(client.state));
const room = await client.join(name);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
say({ id: null, outcome: "ready", peer: client.peer });

const PATIENCE = 20_000;
const outcome = async (run) => {
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE, "late").unref());
  const settled = (async () => {
    try {
      await run();
      return "done";
    } catch (error) {
      return error?.name === "SignalpostError" ? `${error.code}: ${error.message}` : `threw ${error?.stack ?? error}`;
    }
  })();
  return Promise.race([settled, late]);
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, code } = JSON.parse(line);
  if (code === null) {
    say({ id, outcome: { peer: client.peer, state: client.state, states, unhandled, rooms: [...client.rooms.keys()] } });
    continue;
  }
  const run = new Function("client", "room", `return (${code})`);
  outcome(() => run(client, room)).then((value) => say({ id, outcome: value }));
}
client.close();
process.exit(0);
