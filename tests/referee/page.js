// One URL as a browser uses it. `argument`: {server, stun}, the iceServers entry with the one URL,
// and a STUN server for the peer that has no relay.
const GATHER = 12000, MEET = 10000, RELEASED = 4000, LONG = "x".repeat(1000);
const later = (ms, value) => new Promise((done) => setTimeout(() => done(value), ms));

// Resolves to the first candidate of the type, to null when gathering ends without one.
function find(pc, type) {
  return Promise.race([
    later(GATHER, null),
    new Promise((done) => {
      pc.addEventListener("icecandidate", ({candidate}) => {
        if (candidate?.type === type) done(candidate.candidate);
        else if (!candidate) done(null);
      });
      pc.addEventListener("icegatheringstatechange", () => {
        if (pc.iceGatheringState === "complete") later(50, null).then(done);
      });
    }),
  ]);
}

// Whether a message goes to the other peer and comes back.
async function meet(one, other) {
  for (const [from, to] of [[one, other], [other, one]]) {
    from.waiting = [];
    from.addEventListener("icecandidate", ({candidate}) => {
      if (candidate) to.waiting ? to.waiting.push(candidate) : to.addIceCandidate(candidate);
    });
  }
  const channel = one.createDataChannel("");
  other.ondatachannel = ({channel: theirs}) => {
    theirs.onmessage = ({data}) => theirs.send(data);
  };
  const echoed = new Promise((done) => {
    channel.onopen = () => channel.send(LONG);
    channel.onmessage = ({data}) => done(data === LONG);
  });
  const found = find(one, "relay");
  await one.setLocalDescription();
  if (await found === null) return null;
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
  for (const pc of [one, other]) {
    const waiting = pc.waiting;
    pc.waiting = null;
    for (const candidate of waiting) pc.addIceCandidate(candidate);
  }
  return await Promise.race([echoed, later(MEET, false)]);
}

// In a frame of its own: Chromium counts a page's closed connections too, up to 500.
const frame = document.createElement("iframe");
document.body.append(frame);
const opened = [];
function open(iceServers, iceTransportPolicy) {
  const pc = new frame.contentWindow.RTCPeerConnection({iceServers, iceTransportPolicy});
  opened.push(pc);
  return pc;
}
try {
  const {server, stun} = argument;
  if (/^stun/i.test(server.urls.trim())) {
    const pc = open([server], "all");
    const found = find(pc, "srflx");
    pc.createDataChannel("");
    await pc.setLocalDescription();
    return {srflx: await found !== null};
  }
  const relayed = await meet(open([server], "relay"), open([server], "relay"));
  if (relayed === null) return {relay: false};
  for (const pc of opened) pc.close();
  const mixed = () => meet(open([server], "relay"), open([{urls: stun}], "all"));
  let direct = await mixed();
  if (direct === null) {
    // Where few allocations are allowed, those just released may still count.
    await later(RELEASED);
    direct = await mixed();
  }
  return {relay: true, data: relayed, direct: direct === true};
} catch (error) {
  return {throws: error.name};
} finally {
  for (const pc of opened) pc.close();
  frame.remove();
}
