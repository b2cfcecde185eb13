/** Gathers candidates with a list of servers, and reports them as they arrive. */

/** Chrome gives up on a silent server after 9.5 s. Anything slower is useless to a call. */
export const DEADLINE_MS = 12_000;

/** A candidate, as in the table. */
export function row(candidate, elapsedMs) {
  const { type, protocol, address, port, priority, foundation, url } = candidate;
  // Chrome leaves out relayProtocol for UDP.
  const relayProtocol = type === "relay" ? candidate.relayProtocol ?? "udp" : null;
  return { elapsedMs, type, protocol, address, port, priority, foundation, url, relayProtocol };
}

/** RFC 8445, section 5.1.2.1: type preference | local preference | 256 − component. */
export function priorityParts(priority) {
  return [priority >>> 24, (priority >>> 8) & 0xffff, priority & 0xff];
}

/**
 * Gather once. `seen(kind, value)` is called for each "candidate" and "error". The promise gives all
 * of both and the time. Throws what the constructor throws for servers that it rejects.
 */
export async function gather(servers, { seen = () => {}, deadline = DEADLINE_MS } = {}) {
  const started = performance.now();
  const connection = new RTCPeerConnection({ iceServers: servers });
  const candidates = [];
  const errors = [];
  const elapsed = () => performance.now() - started;
  try {
    connection.createDataChannel("check");
    const done = new Promise((resolve) => {
      connection.onicecandidate = ({ candidate }) => {
        if (candidate === null) resolve(true);
        if (!candidate?.candidate) return;
        candidates.push(row(candidate, elapsed()));
        seen("candidate", candidates.at(-1));
      };
      connection.onicecandidateerror = (event) => {
        errors.push(errorRow(event, elapsed()));
        seen("error", errors.at(-1));
      };
      setTimeout(() => resolve(false), deadline);
    });
    await connection.setLocalDescription(await connection.createOffer());
    const complete = await done;
    return { candidates, errors, complete, elapsedMs: elapsed() };
  } finally {
    connection.close();
  }
}

export function errorRow(event, elapsedMs) {
  const { errorCode, errorText, url, address, port } = event;
  return { elapsedMs, code: errorCode, text: errorText, url, address: address || null, port };
}
