/** Turns observations into causes. Pure. A code is one of docs/findings.md if it means the same; the
 * others are in docs/client.md. */

import { finding } from "./servers.js";

/** STUN error → cause. 701 comes from the browser: nothing answered. */
const BY_ERROR = new Map([
  [300, "alternate-server"],
  [403, "server-draining"],
  [438, "nonce-loop"],
  [441, "realm-mismatch"],
  [486, "quota-user"],
  [508, "relay-ports-exhausted"],
]);
const MUCH_LOSS = 0.05;

/** The verdict on one relay URL, with its causes. `result` is from `throughRelay`. */
export function judgeRelay(entry, result, now = Date.now()) {
  const { url, server } = entry;
  if (result.connected && result.received > 0) {
    const lost = 1 - result.received / result.sent;
    const findings =
      lost > MUCH_LOSS ? [finding("relay-data-lost", "warn", url, { lost: Math.round(lost * 100) })] : [];
    return { verdict: findings.length ? "warn" : "pass", findings };
  }
  if (result.connected) return fail("relay-data-lost", url, { lost: 100 });
  if (result.candidates.length > 0) return fail("ice-relay-failed", url);
  const error = result.errors.find((each) => each.code !== 701);
  if (error === undefined) return fail(silent(result.errors), url);
  if (error.code === 401) return fail(refused(server.username, now), url);
  const code = BY_ERROR.get(error.code) ?? "allocation-refused";
  return fail(code, url, { error: error.code, text: error.text });
}

function fail(code, url, values = {}) {
  return { verdict: "fail", findings: [finding(code, "fail", url, values)] };
}

/** Why nothing answered, from Chrome's text. Other browsers don't say. */
function silent(errors) {
  return errors.some(({ text }) => /lookup/i.test(text)) ? "dns-no-address" : "unreachable";
}

/** Why a credential may be refused: its user name has its expiry (TURN REST draft). */
function refused(username, now) {
  const ends = Number(/^(\d{9,11})(?::|$)/.exec(username ?? "")?.[1] ?? NaN);
  return ends * 1000 < now ? "credential-expired" : "secret-mismatch";
}

/** State of a missing permission → cause. */
const BY_PERMISSION = { denied: "local-network-denied", prompt: "local-network-unasked" };

/** The cause if a page needs permission to reach a silent server. `state` is the permission's, null if
 * the browser doesn't ask for one. */
export function judgeLocal(judged, state) {
  const code = BY_PERMISSION[state];
  if (code === undefined) return judged;
  const named = (one) => (one.code === "unreachable" ? { ...one, code } : one);
  return { ...judged, findings: judged.findings.map(named) };
}

/** The verdict on a STUN URL, from gathering with it alone. */
export function judgeStun(entry, result) {
  const { url } = entry;
  if (result.candidates.some((candidate) => candidate.type === "srflx")) {
    return { verdict: "pass", findings: [] };
  }
  if (result.errors.length > 0 || !result.complete) return fail(silent(result.errors), url);
  // Without a NAT a browser leaves out the mapped address: it's the host's own.
  return { verdict: "pass", findings: [finding("srflx-hidden", "info", url)] };
}

/** More precise causes, from comparing the URLs of one host. */
export function compare(checked) {
  const works = (host, transport) =>
    checked.some(
      ({ entry, verdict }) =>
        verdict !== "fail" && entry.parsed.host === host && overWire(entry.parsed) === transport,
    );
  return checked.map((each) => {
    const { parsed } = each.entry;
    const findings = each.findings.map((one) => {
      if (one.code !== "unreachable") return one;
      if (parsed.secure && (works(parsed.host, "udp") || works(parsed.host, "tcp"))) {
        return { ...one, code: "tls-unusable" };
      }
      if (overWire(parsed) === "udp" && (works(parsed.host, "tcp") || works(parsed.host, "tls"))) {
        return { ...one, code: "udp-blocked" };
      }
      if (overWire(parsed) === "tcp" && works(parsed.host, "udp")) return { ...one, code: "tcp-blocked" };
      return one;
    });
    return { ...each, findings };
  });
}

function overWire(parsed) {
  return parsed.secure ? "tls" : parsed.transport;
}

/** The overall verdict: fail if anything failed, even if one relay still lets calls through. */
export function verdict(findings) {
  if (findings.some(({ severity }) => severity === "fail")) return "fail";
  return findings.some(({ severity }) => severity === "warn") ? "warn" : "pass";
}
