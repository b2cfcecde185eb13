/** Checks whether this service's WebSocket is reachable. */

import { finding } from "./servers.js";

const DEADLINE_MS = 8_000;

/** {elapsedMs, finding}: connect, say hello, wait for the welcome. */
export function signaling(address = "/v1/signal") {
  const started = performance.now();
  const url = new URL(address, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, "signalpost.v1");
  return new Promise((resolve) => {
    const end = (found) => {
      clearTimeout(timer);
      socket.onclose = null;
      socket.close();
      resolve({ elapsedMs: performance.now() - started, finding: found });
    };
    const blocked = () => end(finding("signaling-blocked", "fail"));
    const timer = setTimeout(blocked, DEADLINE_MS);
    socket.onclose = blocked;
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello" }));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "welcome") end(null);
      if (message.type === "error") {
        end(finding("signaling-refused", "fail", null, { code: message.code }));
      }
    };
  });
}
