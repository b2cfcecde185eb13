/** The check page: runs the check, shows results as they come, and keeps the report. */

import { Language } from "../language.js";
import { compare, judgeLocal, judgeRelay, judgeStun, verdict } from "./causes.js";
import { gather, priorityParts } from "./gather.js";
import { isGated, permission } from "./localnetwork.js";
import { throughRelay } from "./relay.js";
import { fetched, finding, inspect, separate, typed } from "./servers.js";
import { signaling } from "./signaling.js";
import { WORDS } from "./words.js";

const SLOW_MS = 3_000;
const language = new Language(WORDS);
const $ = (id) => document.getElementById(id);

let report = null;
let running = 0;

const milliseconds = (value) => (value == null ? "" : `${Math.round(value)} ms`);
const seconds = (value) => (value / 1000).toFixed(3);

function cell(text, kind = "td", className = "") {
  const made = document.createElement(kind);
  made.textContent = text ?? "";
  made.className = className;
  return made;
}

function mark(state) {
  const made = cell(language.text(`mark-${state}`), "span", "mark");
  made.dataset.state = state;
  made.dataset.words = `mark-${state}`;
  return made;
}

function tableRow(...cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

function showCandidate(candidate) {
  const { elapsedMs, type, foundation, protocol, address, port, priority, url, relayProtocol } = candidate;
  $("candidates").append(
    tableRow(
      cell(seconds(elapsedMs), "td", "number"),
      cell(type),
      cell(foundation),
      cell(protocol),
      cell(address),
      cell(port, "td", "number"),
      cell(priorityParts(priority).join(" | ")),
      cell(url),
      cell(relayProtocol),
    ),
  );
}

function showError({ elapsedMs, code, text, url }) {
  $("errors-section").hidden = false;
  $("errors").append(
    tableRow(cell(seconds(elapsedMs), "td", "number"), cell(code, "td", "number"), cell(text), cell(url)),
  );
}

/** `words` is the key of a name that changes with the language. */
function showUrl({ url, state, result = {}, words = null }) {
  const marked = document.createElement("td");
  marked.append(mark(state));
  const { p50, p95, max } = result.rttMs ?? {};
  const trips = p50 == null ? "" : `${p50.toFixed(1)} / ${p95.toFixed(1)} / ${max.toFixed(1)} ms`;
  const name = cell(url, "td", "url");
  if (words !== null) name.dataset.words = words;
  const made = tableRow(
    marked,
    name,
    cell(milliseconds(result.allocateMs), "td", "number"),
    cell(trips, "td", "number"),
    cell(result.sent ? `${result.received}/${result.sent}` : "", "td", "number"),
  );
  made.dataset.url = url;
  made.dataset.verdict = state;
  const before = [...$("urls").children].find((each) => each.dataset.url === url);
  if (before) before.replaceWith(made);
  else $("urls").append(made);
}

function showFindings(findings) {
  $("findings-section").hidden = findings.length === 0;
  $("findings").replaceChildren(
    ...findings.map(({ code, severity, url, values }) => {
      const item = document.createElement("li");
      item.dataset.code = code;
      item.dataset.state = severity;
      const heading = cell("", "p", "cause");
      heading.append(mark(severity), " ", cell(language.text(`cause-${code}`, values), "strong"));
      item.append(heading);
      if (url !== null) item.append(cell(url, "p", "url"));
      item.append(cell(language.text(`fix-${code}`, values), "p", "soft"), cell(code, "code"));
      return item;
    }),
  );
}

function showVerdict() {
  const { state, urls, elapsedMs } = report;
  const relays = urls.filter(({ url }) => /^turns?:/i.test(url));
  const working = relays.filter((each) => each.verdict !== "fail").length;
  $("verdict").dataset.state = state;
  if (state === "running") {
    $("verdict-text").textContent = language.text("state-running");
    $("verdict-detail").textContent = language.text("detail-running");
    return;
  }
  const some = state === "fail" && working > 0 ? "state-fail-some" : `state-${state}`;
  $("verdict-text").textContent = language.text(some);
  const values = { working, relays: relays.length, seconds: (elapsedMs / 1000).toFixed(1) };
  $("verdict-detail").textContent = language.text("detail", values);
}

function chosen() {
  const own = new FormData($("servers")).get("source") === "service";
  return own ? fetched() : typed($("text").value, $("username").value, $("credential").value);
}

/** Run one check. A newer one silences it. */
async function check() {
  const run = ++running;
  const current = () => run === running;
  const started = performance.now();
  report = {
    schema: "signalpost.browser-check/1",
    state: "running",
    startedAt: new Date().toISOString(),
    userAgent: navigator.userAgent,
    urls: [],
    candidates: [],
    errors: [],
    findings: [],
  };
  const mine = report;
  for (const id of ["urls", "candidates", "errors"]) $(id).replaceChildren();
  $("errors-section").hidden = true;
  showFindings([]);
  showVerdict();

  const own = new FormData($("servers")).get("source") === "service";
  const { servers, findings } = await chosen();
  const found = [...findings];
  if (globalThis.RTCPeerConnection === undefined) {
    found.push(finding("webrtc-missing", "fail"));
  } else if (servers.length > 0) {
    if (own) found.push(...(await checkSignaling(mine, current)));
    found.push(...(await checkServers(servers, mine, current)));
  }
  if (!current()) return;
  Object.assign(mine, { findings: found, state: verdict(found), elapsedMs: performance.now() - started });
  showFindings(found);
  showVerdict();
}

async function checkSignaling(mine, current) {
  const result = await signaling();
  if (!current()) return [];
  const state = result.finding === null ? "pass" : "fail";
  const url = language.text("signaling");
  mine.signaling = { verdict: state, elapsedMs: result.elapsedMs };
  showUrl({ url, state, result: { allocateMs: result.elapsedMs }, words: "signaling" });
  return result.finding === null ? [] : [result.finding];
}

async function checkServers(servers, mine, current) {
  const entries = separate(servers);
  const found = inspect(entries);
  const unusable = new Set(found.filter(({ severity, url }) => severity === "fail" && url).map(({ url }) => url));
  for (const { url } of entries) showUrl({ url, state: unusable.has(url) ? "fail" : "running" });
  const usable = entries.filter(({ url }) => !unusable.has(url));

  const seen = (kind, value) => {
    if (!current()) return;
    if (kind === "candidate") showCandidate(value);
    else showError(value);
  };
  const together = await gather(usable.map(({ server }) => server), { seen });
  Object.assign(mine, { candidates: together.candidates, errors: together.errors });
  if (together.candidates.length === 0) return [...found, finding("webrtc-blocked", "fail")];

  const judged = await Promise.all(
    usable.map(async (entry) => {
      const relay = entry.parsed.relay;
      const result = await (relay ? throughRelay(entry.server) : gather([entry.server]));
      const { host } = entry.parsed;
      const allowed = isGated(host, location.hostname) ? await permission(host) : null;
      const outcome = judgeLocal(relay ? judgeRelay(entry, result) : judgeStun(entry, result), allowed);
      if (current()) showUrl({ url: entry.url, state: outcome.verdict, result });
      return { entry, result, ...outcome };
    }),
  );
  const checked = compare(judged);
  // Not on a busy machine: there each server answers soon when it is asked alone.
  const late = ({ result, verdict }) => verdict === "fail" || (result.allocateMs ?? result.elapsedMs) > SLOW_MS;
  if (together.elapsedMs > SLOW_MS && checked.some(late)) {
    found.push(finding("gathering-slow", "warn", null, { seconds: (together.elapsedMs / 1000).toFixed(1) }));
  }
  const refused = [...unusable].map((url) => ({ url, verdict: "fail" }));
  mine.urls = [
    ...refused,
    ...checked.map(({ entry, result, verdict }) => {
      const { allocateMs, rttMs, sent, received, errors } = result;
      return { url: entry.url, verdict, allocateMs, rttMs, sent, received, errors };
    }),
  ];
  return [...found, ...checked.flatMap(({ findings }) => findings)];
}

async function copy() {
  let words = "copied";
  try {
    await navigator.clipboard.writeText(JSON.stringify(report, null, 2));
  } catch {
    words = "copy-failed";
  }
  $("copy").textContent = language.text(words);
  setTimeout(() => ($("copy").textContent = language.text("copy")), 2_000);
}

function choose() {
  const own = new FormData($("servers")).get("source") === "service";
  $("typed").hidden = own;
  if (!own) $("text").focus();
}

$("language").addEventListener("click", () => language.switch());
language.addEventListener("change", show);
function show() {
  document.title = language.text("page-title");
  $("language").lang = language.code === "zh" ? "en" : "zh-Hans";
  if (report === null) return;
  showFindings(report.findings);
  showVerdict();
}
$("copy").addEventListener("click", copy);
$("servers").addEventListener("change", choose);
$("servers").addEventListener("submit", (event) => {
  event.preventDefault();
  check();
});
show();
choose();
check();
