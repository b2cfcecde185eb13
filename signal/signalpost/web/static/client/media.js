/** Camera, microphone and screen: opens what is available, and says why the rest isn't. */

/** Why a kind is missing: `insecure` (the page is not in a secure context), `refused`, `absent`,
 * `busy` (another program has it) or `failed`. */
function reasonOf(error) {
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "refused";
    case "NotFoundError":
    case "OverconstrainedError":
      return "absent";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return "failed";
  }
}

const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 } };

function constraints({ audio, video }) {
  const of = (wanted, base) => (typeof wanted === "string" ? { ...base, deviceId: { exact: wanted } } : base);
  return {
    audio: audio ? of(audio, { echoCancellation: true, noiseSuppression: true }) : false,
    video: video ? of(video, VIDEO) : false,
  };
}

/**
 * Open as much of {audio, video} as possible: true for any device, or a device's id. Never throws.
 * Returns {tracks: {audio, video}, missing: {audio?: reason, video?: reason}}.
 */
export async function openMedia(wanted = { audio: true, video: true }) {
  const kinds = ["audio", "video"].filter((kind) => wanted[kind]);
  const tracks = { audio: null, video: null };
  const missing = {};
  if (navigator.mediaDevices?.getUserMedia === undefined) {
    for (const kind of kinds) missing[kind] = globalThis.isSecureContext ? "failed" : "insecure";
    return { tracks, missing };
  }
  const take = async (some) => {
    const only = Object.fromEntries(some.map((kind) => [kind, wanted[kind]]));
    const stream = await navigator.mediaDevices.getUserMedia(constraints(only));
    for (const track of stream.getTracks()) tracks[track.kind] = track;
  };
  try {
    if (kinds.length > 0) await take(kinds);
  } catch {
    // If one fails, both do. Opening each alone shows which, and saves the other.
    for (const kind of kinds) await take([kind]).catch((error) => (missing[kind] = reasonOf(error)));
  }
  return { tracks, missing };
}

/** A track of the screen, null if the user refuses. Its `ended` event comes when sharing stops. */
export async function openScreen() {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: false });
    return stream.getVideoTracks()[0];
  } catch (error) {
    if (error.name === "NotAllowedError") return null;
    throw error;
  }
}

/** {audio, video}: the input devices, each {id, label}. They have labels once one was used. */
export async function devices() {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const of = (kind) =>
    all.filter((each) => each.kind === kind && each.deviceId).map(({ deviceId, label }) => ({ id: deviceId, label }));
  return { audio: of("audioinput"), video: of("videoinput") };
}
