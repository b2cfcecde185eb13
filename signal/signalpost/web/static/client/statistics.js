/** Describes a call's path from an RTCStatsReport. Pure. */

/** The candidate pair in use: from the transport, or (Firefox) the selected one. */
function selectedPair(report) {
  for (const each of report.values()) {
    if (each.type === "transport" && each.selectedCandidatePairId) {
      return report.get(each.selectedCandidatePairId);
    }
  }
  return [...report.values()].find(
    (each) => each.type === "candidate-pair" && (each.selected || (each.nominated && each.state === "succeeded")),
  );
}

/**
 * Read a report. `before` is the previous result, for rates. Rates are bits per second, rtt and jitter
 * milliseconds, loss is from 0 to 1; null is unknown.
 */
export function read(report, before = null) {
  const all = [...report.values()];
  const pair = selectedPair(report);
  const local = report.get(pair?.localCandidateId);
  const remote = report.get(pair?.remoteCandidateId);
  const relayed = [local, remote].some((candidate) => candidate?.candidateType === "relay");
  const inbound = all.filter(({ type }) => type === "inbound-rtp");
  const video = inbound.find(({ kind }) => kind === "video");
  const sum = (member) => inbound.reduce((total, each) => total + (each[member] ?? 0), 0);
  const totals = {
    at: pair?.timestamp ?? 0,
    sent: pair?.bytesSent ?? 0,
    received: pair?.bytesReceived ?? 0,
    packets: sum("packetsReceived"),
    lost: sum("packetsLost"),
  };
  const since = before?.totals;
  const seconds = since ? (totals.at - since.at) / 1000 : 0;
  const rate = (member) => (seconds > 0 ? ((totals[member] - since[member]) * 8) / seconds : null);
  const lost = since ? totals.lost - since.lost : totals.lost;
  const packets = since ? totals.packets - since.packets : totals.packets;
  return {
    path: pair ? (relayed ? "relayed" : "direct") : "unknown",
    protocol: local?.relayProtocol ?? local?.protocol ?? null,
    localType: local?.candidateType ?? null,
    remoteType: remote?.candidateType ?? null,
    rtt: pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
    loss: packets + lost > 0 ? Math.max(0, lost) / (packets + lost) : null,
    sendRate: rate("sent"),
    receiveRate: rate("received"),
    framesDecoded: video?.framesDecoded ?? 0,
    framesPerSecond: video?.framesPerSecond ?? null,
    width: video?.frameWidth ?? null,
    height: video?.frameHeight ?? null,
    totals,
  };
}

/** `good`, `fair`, `poor` or `unknown`, by ITU-T G.114 and common practice. */
export function quality({ path, rtt, loss }) {
  if (path === "unknown" || rtt === null) return "unknown";
  if (rtt > 400 || (loss ?? 0) > 0.08) return "poor";
  return rtt > 200 || (loss ?? 0) > 0.02 ? "fair" : "good";
}
