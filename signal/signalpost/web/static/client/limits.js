/** The limits of a client's messages, and the sentence for each mistake. They are the service's own
 * (dialects/native/grammar.py), and a test compares the two. Lengths are counted as the service counts
 * them: text in code points, JSON in bytes of UTF-8.
 *
 * A message that the service refuses takes a number all the same, so it is refused here, before it
 * has one. Pure.
 */

import { SignalpostError } from "./errors.js";

export const LIMITS = Object.freeze({
  roomName: 128,
  peerName: 64,
  userName: 256,
  callNameLeast: 16,
  callName: 64,
  shownName: 64,
  reason: 256,
  text: 8_000,
  metadata: 4_096,
  depth: 256,
  /** Bytes of a message, unless the service says otherwise in its welcome. */
  frame: 65_536,
});

const NOT_UNICODE = "the text is not valid Unicode";
const NESTED = "the message is nested too deeply";
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x1f\x7f]/;
const CALL = new RegExp(`^[A-Za-z0-9_-]{${LIMITS.callNameLeast},${LIMITS.callName}}$`);
const ENCODER = new TextEncoder();

function malformed(sentence) {
  return new SignalpostError("malformed", sentence);
}

export function tooLarge(most) {
  return malformed(`a message has at most ${most} bytes`);
}

/** Bytes of UTF-8. */
export function bytes(text) {
  return ENCODER.encode(text).length;
}

/** Characters, as people and the service count them. */
export function points(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

// --- one rule for each member: the sentence for a bad value, null for a good one ------------------

function text(noun, most, least = 1) {
  const range = least === 0 ? `at most ${most}` : `${least} to ${most}`;
  return (value) => {
    if (typeof value !== "string") return `${noun} must be text`;
    // No text has more code points than units, so that a long one need not be counted.
    const count = value.length > 2 * most ? value.length : points(value);
    return least <= count && count <= most ? null : `${noun} has ${range} characters`;
  };
}

const roomLength = text("a room's name", LIMITS.roomName);

function roomName(value) {
  const wrong = roomLength(value);
  if (wrong !== null) return wrong;
  if (CONTROL.test(value)) return "a room's name can't have control characters";
  return value === "." || value === ".." ? "a room's name can't be . or .." : null;
}

function callName(value) {
  if (typeof value !== "string") return "a call's id must be text";
  if (CALL.test(value)) return null;
  return `a call's id has ${LIMITS.callNameLeast} to ${LIMITS.callName} letters, digits, - and _`;
}

/** Whether the service accepts it as a room's name. */
export function isRoomName(value) {
  return roomName(value) === null && !hasLoneSurrogate(JSON.stringify(value));
}

const flag = (noun) => (value) => (typeof value === "boolean" ? null : `${noun} must be true or false`);
const whole = (noun) => (value) => (Number.isSafeInteger(value) ? null : `${noun} must be a whole number`);
const role = (value) => (value === "member" || value === "observer" ? null : "a role must be member or observer");
const plainText = (noun) => (value) => (typeof value === "string" ? null : `${noun} must be text`);
const anything = () => null;

/** [noun, rule, whether it may be left out, whether null says the same] */
const ROOM = { room: ["a room's name", roomName] };
const PEER = ["a peer's id", text("a peer's id", LIMITS.peerName)];
const METADATA = { metadata: ["metadata", anything, true] };
const OF_CALL = { call: ["a call's id", callName] };
const REASON = { reason: ["a reason", text("a reason", LIMITS.reason, 0), true, true] };
const TO = { to: [...PEER, true, true], room: ["a room's name", roomLength, true, true] };
const KINDS = {
  __proto__: null,
  hello: {
    name: ["a name", text("a name", LIMITS.shownName, 0), true, true],
    token: ["a token", plainText("a token"), true, true],
  },
  join: { ...ROOM, role: ["a role", role, true], ...METADATA },
  leave: ROOM,
  room: {
    ...ROOM,
    locked: ["locked", flag("locked"), true, true],
    capacity: ["a room's capacity", whole("a room's capacity"), true, true],
    ...METADATA,
  },
  kick: { ...ROOM, peer: PEER },
  signal: { data: ["a signal's data", anything], ...TO },
  text: { text: ["a text", text("a text", LIMITS.text)], ...TO },
  invite: { ...OF_CALL, user: ["a user's id", text("a user's id", LIMITS.userName)] },
  rings: OF_CALL,
  accept: OF_CALL,
  reject: { ...OF_CALL, ...REASON },
  busy: OF_CALL,
  connected: OF_CALL,
  "hang-up": { ...OF_CALL, ...REASON },
};

/** What is wrong with a message's members, null if nothing is. */
function explain(message) {
  for (const [name, [noun, rule, optional, nullable]] of Object.entries(KINDS[message.type])) {
    const value = message[name];
    if (value === undefined) {
      if (!optional) return `${noun} is missing`;
    } else if (value !== null || !nullable) {
      const wrong = rule(value);
      if (wrong !== null) return wrong;
    }
  }
  return null;
}

/** A copy of `value` as JSON carries it, undefined for undefined. Throws a SignalpostError if it can't
 * be written as JSON, whatever its getters and its toJSON do; the error calls it `noun`. */
export function copied(value, noun) {
  if (value === undefined) return undefined;
  let written;
  try {
    written = JSON.stringify(value);
  } catch {
    // A circle, a BigInt, a getter that throws, or deeper than the stack is.
  }
  if (written === undefined) throw malformed(`${noun} can't be written as JSON`);
  return JSON.parse(written);
}

/** The named members of what an app gave as options. */
export function picked(options, ...names) {
  try {
    return Object.fromEntries(names.map((name) => [name, options?.[name]]));
  } catch {
    throw malformed("the options can't be read"); // a getter of the app's throws
  }
}

/** Half of a surrogate pair, which JSON.stringify writes as an escape. */
function hasLoneSurrogate(json) {
  for (let at = json.indexOf("\\"); at >= 0; at = json.indexOf("\\", at + 2)) {
    if (json[at + 1] === "u" && json[at + 2] === "d" && json[at + 3] > "7") return true;
  }
  return false;
}

function depth(json) {
  let level = 0;
  let deepest = 0;
  let quoted = false;
  for (let at = 0; at < json.length; at += 1) {
    const each = json[at];
    if (quoted) {
      if (each === "\\") at += 1;
      else if (each === '"') quoted = false;
    } else if (each === '"') quoted = true;
    else if (each === "{" || each === "[") deepest = Math.max(deepest, ++level);
    else if (each === "}" || each === "]") level -= 1;
  }
  return deepest;
}

/** How much a message may grow when it is sent again: it gets the longest number, and a message to a
 * room is sent to each peer there. */
function grown({ type, to }) {
  const forRoom = (type === "signal" || type === "text") && to === undefined;
  return `,"seq":${Number.MAX_SAFE_INTEGER}`.length + (forRoom ? ',"to":""'.length + LIMITS.peerName : 0);
}

/** The message without undefined members. Throws a SignalpostError if the service would refuse it.
 * Its `data` or `metadata` is JSON already (`copied`). */
export function checked(message, most = LIMITS.frame) {
  const wrong = explain(message);
  let json;
  try {
    json = JSON.stringify(message);
  } catch {
    // A member isn't JSON: `explain` has named it.
  }
  if (json === undefined) throw malformed(wrong ?? "a message can't be written as JSON");
  if (hasLoneSurrogate(json)) throw malformed(NOT_UNICODE);
  if (wrong !== null) throw malformed(wrong);
  if (depth(json) > LIMITS.depth) throw malformed(NESTED);
  if (message.metadata !== undefined && bytes(JSON.stringify(message.metadata)) > LIMITS.metadata) {
    throw malformed(`metadata has at most ${LIMITS.metadata} bytes`);
  }
  if (bytes(json) + grown(message) > most) throw tooLarge(most);
  return JSON.parse(json);
}
