/** The call page: entry, lobby and stage, and the ways between them. */

import { Client } from "../client.js";
import { LIMITS, isRoomName, points } from "../client/limits.js";
import { Language } from "../language.js";
import { Chat } from "./chat.js";
import { Local } from "./local.js";
import { CallMeeting, RoomMeeting } from "./meeting.js";
import { People } from "./people.js";
import { ring } from "./ring.js";
import { Stage } from "./stage.js";
import { WORDS } from "./words.js";

const LOBBY = "lobby";
/** Fragments that aren't rooms: the lobby, and the page's own anchor. */
const OWN_NAMES = new Set([LOBBY, "main"]);
/** In a mesh everybody sends to everybody. More people are too many for a phone's uplink. */
const MOST = 6;
const TOAST_MS = 6_000;
const KEPT_NAME = "signalpost.name";

const $ = (id) => document.getElementById(id);
const language = new Language(WORDS);
const local = new Local();
const stage = new Stage($("tiles"), $("tile"), language);
const chat = new Chat(
  {
    panel: $("chat"),
    log: $("messages"),
    form: $("chat-form"),
    input: $("chat-text"),
    toggle: $("chat-toggle"),
    unread: $("unread"),
  },
  language,
);
const people = new People({ list: $("people"), nobody: $("nobody") }, language, call);

let client = null;
let lobby = null;
let meeting = null;
let incoming = null;
let stopRinging = null;

// --- what is shown ------------------------------------------------------------------------------

function view(name) {
  document.body.dataset.view = name;
  for (const each of ["entry", "lobby", "stage"]) $(each).hidden = each !== name;
  showMeeting();
  $(`${name}-title`).focus();
}

let toastTimer = null;
function announce(text) {
  $("announcer").textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($("announcer").textContent = ""), TOAST_MS);
}

function problem(error) {
  const key = `problem-${error.code}`;
  if (error.code === undefined) console.error(error);
  return language.has(key) ? language.text(key) : language.text("problem-other", { code: error.code ?? error.name });
}

/** The room in the page's address. */
function wanted() {
  let name = location.hash.slice(1);
  try {
    name = decodeURIComponent(name);
  } catch {
    // A stray % is part of the name.
  }
  return OWN_NAMES.has(name) ? "" : name;
}

/** Why a room can't have this name, null if it can. */
function roomProblem(name) {
  const count = points(name);
  if (OWN_NAMES.has(name)) return language.text("room-own", { name });
  if (count > LIMITS.roomName) return language.text("room-long", { most: LIMITS.roomName, count });
  return isRoomName(name) ? null : language.text("room-wrong");
}

function tell(id, text) {
  $(id).hidden = text === null;
  $(id).textContent = text ?? "";
}

function showEntry() {
  const room = wanted();
  $("entry-lead").textContent = language.text(room ? "entry-lead-room" : "entry-lead", { room });
  $("enter").textContent = language.text(room ? "enter-room" : "enter");
}

function showMeeting() {
  const title = meeting ? language.text(...meeting.title) : "";
  document.title = incoming
    ? language.text("incoming-text", { name: incoming.name || language.text("nameless") })
    : title ? `${title} · Signalpost` : "Signalpost";
  if (meeting === null) return;
  $("stage-title").textContent = title;
  $("share").hidden = !(meeting instanceof RoomMeeting);
  const state = language.text(...meeting.state);
  // Written only when it changes, since a screen reader speaks it each time.
  if ($("stage-state").textContent !== state) $("stage-state").textContent = state;
}

function showConnection() {
  const lost = client !== null && client.state !== "open" && client.peer !== null && client.state !== "closed";
  $("connection").hidden = !lost;
  $("connection").textContent = lost ? language.text("reconnecting") : "";
}

function mediaProblem() {
  const { audio, video } = local.missing;
  if (audio === undefined && video === undefined) return "";
  const reason = audio ?? video;
  if (reason === "insecure") {
    const port = location.port ? `:${location.port}` : "";
    return language.text("media-insecure", { host: location.hostname, local: `http://localhost${port}` });
  }
  const which = audio === undefined ? "video" : video === undefined || audio !== video ? "audio" : "both";
  return language.text(`media-${reason}-${which}`);
}

function showLocal() {
  if (meeting !== null) stage.showLocal(local);
  $("mute").setAttribute("aria-pressed", String(local.muted));
  $("camera").setAttribute("aria-pressed", String(local.cameraOff));
  $("screen").setAttribute("aria-pressed", String(local.sharing));
  $("mute").disabled = local.tracks.audio === null;
  $("camera").disabled = local.missing.video === "insecure";
  $("screen").disabled = navigator.mediaDevices?.getDisplayMedia === undefined;
  const text = mediaProblem();
  for (const each of document.querySelectorAll(".media-problem")) {
    each.hidden = text === "";
    each.textContent = text;
  }
  meeting?.say({ type: "state", ...local.state });
}

// --- entry and lobby ----------------------------------------------------------------------------

async function enter() {
  const name = $("name").value.trim();
  const count = points(name);
  if (name === "") return entryProblem(language.text("name-empty"), "name");
  if (count > LIMITS.shownName) {
    return entryProblem(language.text("name-long", { most: LIMITS.shownName, count }), "name");
  }
  const token = $("token").value.trim() || undefined;
  let made;
  try {
    made = new Client({ name, token });
  } catch (error) {
    return entryProblem(problem(error), token === undefined ? "name" : "token");
  }
  keep(name);
  $("enter").disabled = true;
  $("enter").textContent = language.text("connecting");
  tell("entry-problem", null);
  client?.close();
  client = made;
  client.addEventListener("state", showConnection);
  client.addEventListener("incoming", ({ detail }) => rung(detail.call));
  client.addEventListener("error", ({ detail }) => announce(problem(detail)));
  client.addEventListener("closed", ({ detail }) => detail.error && refused(detail.error));
  try {
    await client.open();
  } catch {
    return; // `closed` has told the user
  } finally {
    $("enter").disabled = false;
    showEntry();
  }
  if (wanted()) await enterRoom(wanted());
  else await enterLobby();
}

function entryProblem(text, field) {
  tell("entry-problem", text);
  $(field).focus();
}

function refused(error) {
  client = lobby = null;
  view("entry");
  tell("entry-problem", error.code === "banned" ? language.text("refused-banned") : problem(error));
  if (error.code === "unauthorized" || error.code === "guest-refused") {
    $("token-row").hidden = false;
    $("token").focus();
  }
}

async function enterLobby() {
  view("lobby");
  $("lobby-problem").hidden = true;
  if (lobby !== null && !lobby.closed) return;
  try {
    lobby = await client.join(LOBBY);
    people.follow(lobby, client.user);
  } catch (error) {
    $("lobby-problem").textContent = language.text("problem-lobby", { code: error.code });
    $("lobby-problem").hidden = false;
  }
}

function signOff() {
  client.close();
  client = lobby = null;
  view("entry");
}

// --- meetings -----------------------------------------------------------------------------------

function begin(made) {
  meeting = made;
  chat.begin((value) => made.say(value));
  made.addEventListener("link", ({ detail: { peer, link, name } }) => {
    stage.add(peer, link, name);
    link.addEventListener("state", () => {
      if (link.state === "connected") link.say({ type: "state", ...local.state });
    });
    link.addEventListener("message", ({ detail }) => heard(peer, name, detail));
  });
  made.addEventListener("unlink", ({ detail: { peer, link } }) => stage.remove(peer, link));
  made.addEventListener("joined", ({ detail }) => told("joined", detail));
  made.addEventListener("left", ({ detail }) => told("gone", detail));
  made.addEventListener("over", ({ detail }) => meeting === made && over(detail));
  made.addEventListener("state", () => meeting === made && showMeeting());
  view("stage");
  showLocal();
}

function told(key, values) {
  showMeeting();
  announce(language.text(key, values));
}

function heard(peer, name, message) {
  if (message?.type === "chat" && typeof message.text === "string") {
    chat.heard(name, message.text);
    if ($("chat").hidden) announce(`${name}: ${message.text}`);
  } else if (message?.type === "state") {
    stage.heard(peer, message);
  }
}

function over({ outcome, reason }) {
  const ended = meeting;
  meeting = null;
  stage.clear();
  chat.open(false);
  local.close();
  local.missing = {};
  showLocal();
  if (location.hash && ended instanceof RoomMeeting) history.replaceState(null, "", location.pathname);
  if (client === null) return;
  enterLobby();
  if (outcome === "left") {
    if (reason === "kicked" || reason === "closed") announce(language.text(`left-${reason}`));
  } else {
    announce(outcomeText(outcome, ended.call, ended.name));
  }
}

function outcomeText(outcome, call, name) {
  const mine = outcome === "rejected" && call.direction === "incoming";
  return language.text(mine ? "outcome-rejected-by-me" : `outcome-${outcome}`, { name });
}

async function call(user) {
  if (meeting !== null) return;
  const name = people.name(user);
  await local.open();
  if (meeting !== null) return;
  const made = client.call(user, { tracks: local.tracks });
  begin(new CallMeeting(made, name));
}

async function enterRoom(name) {
  const wrong = roomProblem(name);
  if (wrong !== null) {
    // The user followed a link or typed an address.
    history.replaceState(null, "", location.pathname);
    showEntry();
    await enterLobby();
    return announce(wrong);
  }
  await local.open();
  try {
    const room = await client.join(name);
    if (room.role === "host") room.update({ capacity: MOST }).catch(() => {});
    const made = new RoomMeeting(client, room, local.tracks, () => language.text("nameless"));
    begin(made);
    made.start();
  } catch (error) {
    local.close();
    history.replaceState(null, "", location.pathname);
    await enterLobby();
    announce(problem(error));
  }
}

function rung(made) {
  if (incoming !== null) return made.busy();
  incoming = made;
  const name = made.name || language.text("nameless");
  $("incoming-text").textContent = language.text("incoming-text", { name });
  made.addEventListener("ended", ({ detail }) => {
    if (incoming !== made) return;
    quiet();
    announce(outcomeText(detail.outcome, made, name));
  });
  showMeeting();
  stopRinging = ring();
  $("incoming").showModal();
}

function quiet() {
  incoming = null;
  stopRinging?.();
  stopRinging = null;
  $("incoming").close();
  showMeeting();
}

async function accept({ video }) {
  const made = incoming;
  if (made === null) return;
  quiet();
  meeting?.leave();
  await local.open({ video });
  if (made.state === "ended") return local.close();
  begin(new CallMeeting(made, made.name || language.text("nameless")));
  made.accept({ tracks: local.tracks });
}

function reject() {
  const made = incoming;
  if (made === null) return;
  quiet();
  made.reject();
}

// --- devices ------------------------------------------------------------------------------------

async function showDevices() {
  const list = await local.list();
  for (const [kind, words] of [["audio", "microphone"], ["video", "camera"]]) {
    const select = $(`${kind}-device`);
    const options = list[kind].map(({ id, label }, index) => {
      const number = { kind: language.text(words), number: index + 1 };
      return new Option(label || language.text("device-number", number), id);
    });
    select.replaceChildren(...(options.length ? options : [new Option(language.text("no-device"), "")]));
    select.disabled = options.length === 0;
    const chosen = local.chosen(kind);
    if (chosen) select.value = chosen;
  }
  $("device-dialog").showModal();
}

// --- wiring -------------------------------------------------------------------------------------

function keep(name) {
  try {
    localStorage.setItem(KEPT_NAME, name);
  } catch {
    // Storage may be forbidden. Then the page asks for the name each time.
  }
}

function show() {
  $("language").lang = language.code === "zh" ? "en" : "zh-Hans";
  showEntry();
  showMeeting();
  showLocal();
  showConnection();
  people.show();
  stage.show();
  chat.show();
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    announce(language.text("link-copied"));
  } catch {
    announce(language.text("link-not-copied"));
  }
}

function on(id, type, heard) {
  $(id).addEventListener(type, heard);
}

on("language", "click", () => language.switch());
language.addEventListener("change", show);
on("entry-form", "submit", (event) => {
  event.preventDefault();
  enter();
});
on("room-form", "submit", (event) => {
  event.preventDefault();
  const name = $("room-name").value.trim() || crypto.getRandomValues(new Uint32Array(2)).join("-");
  const wrong = roomProblem(name);
  tell("room-problem", wrong);
  if (wrong !== null) return $("room-name").focus();
  $("room-name").value = "";
  location.hash = encodeURIComponent(name);
});
addEventListener("hashchange", () => {
  showEntry();
  if (client?.state !== "open" || !wanted()) return;
  const wrong = roomProblem(wanted());
  if (wrong !== null) return announce(wrong); // and everything stays as it is
  meeting?.leave();
  enterRoom(wanted());
});
on("chat-toggle", "click", () => announce(""));
on("leave", "click", signOff);
on("mute", "click", () => local.toggleMute());
on("camera", "click", () => local.toggleCamera());
on("screen", "click", () => local.toggleScreen().catch(() => announce(language.text("screen-failed"))));
on("hang-up", "click", () => meeting?.leave());
on("share", "click", copyLink);
on("accept", "click", () => accept({ video: true }));
on("accept-audio", "click", () => accept({ video: false }));
on("reject", "click", reject);
// Escape closes a dialog. Here it must also reject, otherwise the other side rings on.
on("incoming", "cancel", (event) => {
  event.preventDefault();
  reject();
});
for (const each of document.querySelectorAll(".open-devices")) each.addEventListener("click", showDevices);
for (const kind of ["audio", "video"]) {
  on(`${kind}-device`, "change", ({ target }) => local.choose(kind, target.value));
}
local.addEventListener("change", showLocal);
local.addEventListener("track", ({ detail: { kind, track } }) => meeting?.setTrack(kind, track));
addEventListener("pagehide", () => client?.close());
// The page returns from the browser's cache, where the client was closed.
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

try {
  $("name").value = localStorage.getItem(KEPT_NAME) ?? "";
} catch {
  // As in `keep`.
}
if (!isSecureContext) local.missing = { audio: "insecure", video: "insecure" };
show();
$("name").focus();
