/** Sends data through one relay, between two connections in this page with only relay candidates. */

import { DEADLINE_MS, errorRow, row } from "./gather.js";

const PACKETS = 20;
const INTERVAL_MS = 20;
const LAST_WAIT_MS = 4_000;

/**
 * Allocate twice at `server`, connect, and send packets there and back. Returns the results:
 * {candidates, errors, connected, allocateMs, rttMs, sent, received}. Never throws for a server that
 * doesn't work.
 */
export async function throughRelay(server, { deadline = DEADLINE_MS } = {}) {
  const started = performance.now();
  const elapsed = () => performance.now() - started;
  const result = { candidates: [], errors: [], connected: false, sent: 0, received: 0 };
  const one = connection(server);
  const other = connection(server);
  const timeout = after(deadline);
  try {
    // Packets like media's: none is repeated, so that losses show.
    const channel = one.createDataChannel("check", { ordered: false, maxRetransmits: 0 });
    const opened = new Promise((resolve) => (channel.onopen = () => resolve(true)));
    other.ondatachannel = ({ channel: echo }) => (echo.onmessage = ({ data }) => echo.send(data));
    const gathered = Promise.all([trickle(one, other, result, elapsed), trickle(other, one, result, elapsed)]);
    await one.setLocalDescription();
    await other.setRemoteDescription(one.localDescription);
    await other.setLocalDescription();
    await one.setRemoteDescription(other.localDescription);
    const nothing = gathered.then(() => (result.candidates.length ? new Promise(() => {}) : false));
    const failed = new Promise((resolve) => {
      one.onconnectionstatechange = () => one.connectionState === "failed" && resolve(false);
    });
    result.connected = await Promise.race([opened, nothing, failed, timeout.promise]);
    result.allocateMs = result.candidates[0]?.elapsedMs;
    if (result.connected) Object.assign(result, await measure(channel));
  } finally {
    timeout.cancel();
    one.close();
    other.close();
  }
  return result;
}

function connection(server) {
  return new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: "relay" });
}

/** Pass on candidates as they come, up to the last one. */
function trickle(from, to, result, elapsed) {
  const waiting = [];
  return new Promise((resolve) => {
    from.onicecandidateerror = (event) => result.errors.push(errorRow(event, elapsed()));
    from.onicecandidate = ({ candidate }) => {
      if (candidate === null) return resolve();
      if (candidate.candidate) result.candidates.push(row(candidate, elapsed()));
      waiting.push(candidate);
      flush();
    };
    // Candidates may come before the other side knows the description.
    to.addEventListener("signalingstatechange", flush);
    function flush() {
      if (to.remoteDescription === null) return;
      for (const candidate of waiting.splice(0)) to.addIceCandidate(candidate).catch(() => {});
    }
  });
}

async function measure(channel) {
  // The first packet waits for the connection's last steps, so it isn't counted.
  const warm = after(LAST_WAIT_MS);
  channel.send("0");
  await Promise.race([new Promise((resolve) => (channel.onmessage = resolve)), warm.promise]);
  warm.cancel();
  const trips = [];
  let sent = 0;
  const all = new Promise((resolve) => {
    channel.onmessage = ({ data }) => {
      trips.push(performance.now() - Number(data));
      if (trips.length === PACKETS) resolve();
    };
  });
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      channel.send(String(performance.now()));
      if (++sent < PACKETS) return;
      clearInterval(timer);
      resolve();
    }, INTERVAL_MS);
  });
  const patience = after(LAST_WAIT_MS);
  await Promise.race([all, patience.promise]);
  patience.cancel();
  return { sent, received: trips.length, rttMs: percentiles(trips) };
}

function percentiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
  return { p50: at(0.5), p95: at(0.95), max: sorted.at(-1) ?? null };
}

function after(milliseconds) {
  let timer;
  const promise = new Promise((resolve) => (timer = setTimeout(() => resolve(false), milliseconds)));
  return { promise, cancel: () => clearTimeout(timer) };
}
