// The page: a list of videos, the one that is shown, and what the server says of each.

import { record } from "./camera.js";
import { byId, bytes, clock, gerundOf, icon, make, percent, spoken, stem } from "./format.js";
import { ask, follow, onLogin, remove as removeJob, ServerError, upload } from "./server.js";
import { themed } from "./theme.js";
import { portrait, Strips, thumbnails } from "./timeline.js";

const AT_ONCE = 3;
const STEP = 1 / 8;
const JUMP = 5;
const CLIPS_LONG = 2; // so many training clips (two windows each) and longer is a video in which several things may happen

const video = byId("video");
const items = [];
let shown = null;
let model = { labels: [], colours: [], limits: { upload: Infinity, duration: Infinity } };
let sending = 0;

const colour = (label) => model.colours[model.labels.indexOf(label)] ?? "#8a8c94";
const strips = new Strips({ seek: (seconds) => seek(seconds), colour });
const say = (text) => { byId("said").textContent = text; };

// ---- adding videos

const add = (files) => {
  const fresh = [...files].map((file) => ({
    file, name: file.name || "video", url: URL.createObjectURL(file), state: "waiting", share: 0, job: null, error: null,
    picture: null, plays: true, preview: false, ending: new AbortController(),
  }));
  for (const item of fresh) {
    items.push(item);
    item.node = nodeOf(item);
    byId("items").append(item.node);
    portrait(item.url).then((picture) => { item.picture = picture; if (picture) item.node.querySelector(".thumb").src = picture; });
    if (item.file.size > model.limits.upload) {
      fail(item, `${bytes(item.file.size)}; at most ${bytes(model.limits.upload)} are taken. Cut or compress the video.`);
    } else if (!item.file.size) {
      fail(item, "The file is empty.");
    }
  }
  document.body.dataset.view = items.length ? "work" : "empty";
  if (fresh.length && (!shown || shown.state === "done")) show(fresh[0]);
  pump();
};

const pump = () => {
  for (const item of items) if (item.state === "waiting" && sending < AT_ONCE) work(item);
};

const work = async (item) => {
  sending += 1;
  item.error = null;
  change(item, "uploading", 0);
  try {
    item.job = await sent(item);
    if (item.ending.signal.aborted) { removeJob(item.job.id); return; }
    sending -= 1;
    pump();
    const job = await follow(item.job.id, (now) => { item.job = now; change(item, now.state, now.progress); }, item.ending.signal);
    sending += 1;
    if (job.state === "done") say(`${item.name}: ${spoken(job.result.prediction.label ?? "unknown")}`);
    else fail(item, readable(job.error.replace(`${item.name}: `, "")));
  } catch (error) {
    if (item.job) sending += 1;
    if (error.name !== "AbortError") fail(item, error.message);
  } finally {
    sending -= 1;
    pump();
  }
};

/** Upload an item, and again when the server asks to come back later. */
const sent = async (item) => {
  for (;;) {
    try {
      return await upload(item.file, item.name, (share) => change(item, "uploading", share), item.ending.signal);
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      if (error.status === 401) await askForToken();
      else if (error.status === 429) await pause(item, error.wait || 2);
      else throw error;
    }
  }
};

const pause = async (item, seconds) => {
  for (let left = seconds; left > 0; left -= 1) {
    item.note = `Many are waiting; again in ${left} s`;
    change(item, "busy", 0);
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
    if (item.ending.signal.aborted) throw new DOMException("ended", "AbortError");
  }
};

/** What to do about a file the decoder could make nothing of; other reasons say it themselves. */
const readable = (reason) => (reason.startsWith("not readable as video") ? "No video could be read from this file. Is it complete? MP4, WebM, MOV, MKV and AVI are taken." : reason);

const fail = (item, reason) => {
  item.error = reason;
  change(item, "failed", 0);
  say(`${item.name}: ${reason}`);
};

const discard = (item) => {
  item.ending.abort();
  if (item.job) removeJob(item.job.id);
  const place = items.indexOf(item);
  items.splice(place, 1);
  item.node.remove();
  if (shown === item) {
    shown = null;
    video.removeAttribute("src");
    video.load();
    const next = items[Math.min(place, items.length - 1)];
    if (next) show(next);
  }
  URL.revokeObjectURL(item.url);
  document.body.dataset.view = items.length ? "work" : "empty";
  say(`${item.name} removed`);
};

const retry = (item) => {
  item.ending = new AbortController();
  item.job = null;
  change(item, "waiting", 0);
  pump();
};

// ---- the list

const nodeOf = (item) =>
  make("li.item", {},
    make("img.thumb", { alt: "", src: "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7" }),
    make("div.text", {}, make("p.status"), make("p.name", { title: item.name }, item.name)),
    make("button.open", { type: "button", "aria-label": item.name, onclick: () => show(item) }),
    make("button.icon.remove", { type: "button", "aria-label": `Remove ${item.name}`, title: "Remove", onclick: () => discard(item) }, icon("close")));

const BUSY = { waiting: "Waiting to be sent", uploading: "Uploading", queued: "In the queue", running: "Analysing" };

const statusOf = (item) => {
  const { position } = item.job ?? {};
  if (item.state === "busy") return item.note;
  if (item.state === "queued" && position) return `In the queue, ${position} before it`;
  const share = item.share > 0 ? ` ${Math.round(100 * item.share)} %` : "";
  return `${BUSY[item.state] ?? item.state}${share}`;
};

const meter = (item) => {
  const known = item.share > 0;
  const bar = make(known ? "div.meter" : "div.meter.unknown", { role: "progressbar", "aria-label": statusOf(item), "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": known ? Math.round(100 * item.share) : null }, make("i"));
  if (known) bar.firstChild.style.transform = `scaleX(${item.share})`;
  return bar;
};

const change = (item, state, share) => {
  Object.assign(item, { state, share });
  item.node.dataset.state = state;
  const status = item.node.querySelector(".status");
  item.node.querySelector(".meter")?.remove();
  status.className = `status ${state === "done" ? "" : state === "failed" ? "failed" : "busy"}`;
  if (state === "done") {
    const answer = answerOf(item);
    const parts = partsOf(item);
    status.replaceChildren(...(parts
      ? [swatch(parts[0]), make("span", {}, `${parts.length} actions`)]
      : [swatch(answer), make("span", {}, answer.known ? spoken(answer.label) : "unknown"), make("span.share", {}, percent(answer.score))]));
  } else if (state === "failed") {
    status.replaceChildren(icon("warn"), make("span", {}, item.error));
  } else {
    status.replaceChildren(statusOf(item));
    item.node.querySelector(".text").append(meter(item));
  }
  item.node.querySelector(".open").setAttribute("aria-label", `${item.name}: ${status.textContent}`);
  if (item === shown) refresh();
};

/** The top answer of a finished item; `known` is false when the server says that no label fits. */
const answerOf = (item) => {
  const { prediction } = item.job.result;
  const [first] = prediction.scores;
  const known = prediction.unknown !== true;
  return { label: first?.label, score: first?.score ?? 0, known };
};

/** How much of a long video each label takes, most first, where several things happen in it; null of a clip, which has one answer. */
const partsOf = (item) => {
  const { segments, duration } = item.job.result.timeline;
  if (duration <= CLIPS_LONG * 2 * model.window) return null;
  const seconds = new Map();
  for (const each of segments) seconds.set(each.label, (seconds.get(each.label) ?? 0) + each.end - each.start);
  if (seconds.size < 2) return null;
  return [...seconds].map(([label, taken]) => ({ label, score: taken / duration })).sort((a, b) => b.score - a.score);
};

const swatch = ({ label, known }) => make(known === false ? "span.swatch.unknown" : "span.swatch", { style: { "--c": colour(label) } });

// ---- the one that is shown

const show = (item) => {
  shown = item;
  for (const each of items) each.node.setAttribute("aria-current", each === item);
  video.pause();
  item.preview = false;
  video.src = item.url;
  byId("thumbs").getContext("2d").clearRect(0, 0, 1e4, 1e4);
  item.drawn = false;
  refresh();
};

const durationOf = (item) => item.job?.result?.timeline.duration || (Number.isFinite(video.duration) ? video.duration : 0);

const refresh = () => {
  const item = shown;
  const done = item.state === "done";
  const result = done ? item.job.result : null;
  strips.show(result, durationOf(item), model.labels);
  byId("total").textContent = durationOf(item) ? ` / ${clock(durationOf(item))}` : "";
  byId("answers").hidden = !done;
  cover(item);
  if (done) {
    if (!item.plays && !item.preview) usePreview(item);
    whole(item);
    events(item);
    saves(item);
    pictures(item);
  }
  moved();
};

const cover = (item) => {
  const box = byId("cover");
  const { state } = item;
  box.hidden = state === "done";
  if (state === "done") return;
  if (state === "failed") {
    box.replaceChildren(make("strong", {}, "This one did not work"), make("p", {}, item.error), make("button.plain", { type: "button", onclick: () => retry(item) }, icon("retry"), "Try again"));
  } else {
    box.replaceChildren(make("strong", {}, statusOf(item)), meter(item), make("button.plain", { type: "button", id: "cancel", onclick: () => discard(item) }, icon("close"), "Cancel"));
  }
};

const usePreview = (item) => {
  item.preview = true;
  const caption = byId("caption");
  caption.hidden = false;
  caption.textContent = "This browser cannot play the file itself: the server is making a preview.";
  video.src = `/v1/jobs/${item.job.id}/preview.mp4`;
};

video.addEventListener("error", () => {
  if (!shown || !video.getAttribute("src")) return;
  if (shown.preview) { byId("caption").textContent = "No preview could be made; the answers are right all the same."; return; }
  shown.plays = false;
  if (shown.state === "done") usePreview(shown);
});
video.addEventListener("loadeddata", () => {
  if (!shown) return;
  byId("caption").hidden = !shown.preview;
  if (shown.preview) byId("caption").textContent = "A preview: this browser cannot play the file itself.";
  shown.ready = true;
  refresh();
});

const pictures = async (item) => {
  if (item.drawn || !video.videoWidth) return;
  item.drawn = true;
  await thumbnails(video.currentSrc, durationOf(item), () => shown === item);
  if (!item.picture) {
    item.picture = await portrait(video.currentSrc);
    if (item.picture) item.node.querySelector(".thumb").src = item.picture;
  }
};

const whole = (item) => {
  const { prediction } = item.job.result;
  const parts = partsOf(item);
  if (parts) {
    byId("whole").replaceChildren(
      make("p.big", { id: "top" }, `${parts.length} actions`),
      make("p", {}, "How much of the time each takes:"),
      make("ol.ranks", {}, ...parts.slice(0, 8).map(rank)));
    return;
  }
  const answer = answerOf(item);
  byId("whole").replaceChildren(
    make("p.big", { id: "top" }, swatch(answer), answer.known ? gerundOf(answer.label) : "Unknown"),
    make("p", {}, answer.known ? `${percent(answer.score)} sure` : `None of the actions it knows fits well. Closest: ${spoken(answer.label ?? "none")}, ${percent(answer.score)}`),
    make("ol.ranks", {}, ...prediction.scores.slice(0, 5).map(rank)));
};

const rank = ({ label, score }, place) => {
  const bar = make("i", { style: { transform: `scaleX(${score})` } });
  return make(place ? "li.rank" : "li.rank.first", { style: { "--c": colour(label) } }, swatch({ label }), make("span.label", {}, spoken(label)), make("span.share", {}, percent(score)), make("span.track", {}, bar));
};

const events = (item) => {
  const { segments } = item.job.result.timeline;
  byId("events").replaceChildren(...segments.map((each) =>
    make("li", {}, make("button.event", { type: "button", "data-start": each.start, onclick: () => seek(each.start) },
      swatch({ label: each.label }), make("span.label", {}, spoken(each.label)),
      make("span.when", {}, `${clock(each.start)} – ${clock(each.end)}`), make("span.share", {}, percent(each.score))))));
  if (!segments.length) byId("events").append(make("li.none", {}, "Nothing it is sure of. The strip “how sure” shows what came closest."));
};

const saves = (item) => {
  const path = `/v1/jobs/${item.job.id}`;
  const link = (text, target, suffix) => make("a.plain", { href: target, download: `${stem(item.name)}.${suffix}` }, icon("download"), text);
  byId("save-note").textContent = "";
  byId("saves").replaceChildren(
    link("JSON", path, "json"), link("CSV", `${path}/timeline.csv`, "csv"), link("SRT", `${path}/timeline.srt`, "srt"), link("VTT", `${path}/timeline.vtt`, "vtt"),
    link("ELAN", `${path}/timeline.eaf`, "eaf"), link("BORIS", `${path}/timeline.tsv`, "tsv"),
    make("button.plain", { type: "button", id: "annotated", onclick: (event) => annotated(item, event.currentTarget) }, icon("download"), "Annotated MP4"));
};

const annotated = async (item, button) => {
  const path = `/v1/jobs/${item.job.id}/annotated.mp4`;
  button.disabled = true;
  byId("save-note").textContent = "Drawing the answers into the video …";
  try {
    await ask(path, { headers: { Range: "bytes=0-0" } });
    byId("save-note").textContent = "";
    make("a", { href: path, download: `${stem(item.name)}-annotated.mp4` }).click();
  } catch (error) {
    byId("save-note").textContent = error.message;
  }
  button.disabled = false;
};

// ---- the playhead

const seek = (seconds) => {
  const end = durationOf(shown);
  video.currentTime = Math.min(Math.max(0, seconds), end);
  moved();
};

const moved = () => {
  const seconds = video.currentTime || 0;
  byId("now").textContent = byId("moment-time").textContent = clock(seconds);
  strips.move(seconds);
  const ranked = strips.ranked(seconds);
  byId("moment").replaceChildren(...ranked.map(rank));
  const segment = strips.segmentAt(seconds);
  const best = ranked[0];
  const apart = segment && best && segment.label !== best.label;
  byId("moment-note").textContent = apart ? `This moment alone; the stretch around it, as a whole, is ${spoken(segment.label)}.` : "";
  byId("live").replaceChildren(...(segment ? [swatch(segment), spoken(segment.label)] : best ? [swatch({ known: false }), make("span.share", {}, `not sure; maybe ${spoken(best.label)}`)] : []));
  for (const each of byId("events").querySelectorAll(".event")) each.setAttribute("aria-current", segment !== undefined && Number(each.dataset.start) === segment.start);
};

const playing = () => {
  const on = !video.paused;
  byId("play").setAttribute("aria-label", on ? "Pause" : "Play");
  byId("play").querySelector("use").setAttribute("href", on ? "#i-pause" : "#i-play");
  const follow = () => { moved(); if (!video.paused) requestAnimationFrame(follow); };
  if (on) requestAnimationFrame(follow);
};
for (const name of ["play", "pause", "ended"]) video.addEventListener(name, playing);
for (const name of ["timeupdate", "seeked"]) video.addEventListener(name, () => shown && moved());

const toggle = () => { if (video.paused) video.play().catch(() => undefined); else video.pause(); };
video.addEventListener("click", toggle);
byId("play").addEventListener("click", toggle);

const jump = (direction) => {
  const starts = (shown.job?.result?.timeline.segments ?? []).map((each) => each.start);
  const now = video.currentTime;
  const next = direction > 0 ? starts.find((at) => at > now + 0.05) : starts.findLast((at) => at < now - 0.05);
  if (next !== undefined) seek(next);
};

const KEYS = {
  " ": toggle, k: toggle, K: toggle,
  ArrowLeft: () => seek(video.currentTime - STEP), ArrowRight: () => seek(video.currentTime + STEP),
  j: () => seek(video.currentTime - JUMP), l: () => seek(video.currentTime + JUMP),
  J: () => seek(video.currentTime - JUMP), L: () => seek(video.currentTime + JUMP),
  ArrowUp: () => jump(-1), ArrowDown: () => jump(1),
  Home: () => seek(0), End: () => seek(durationOf(shown)),
  Delete: () => discard(shown),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "?") { byId("keys").showModal(); return; }
  const own = event.target.closest("button, a, input");
  if (!shown || (own && [" ", "Enter"].includes(event.key)) || event.target.matches("input")) return;
  if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
});

// ---- the page around it

const chooser = byId("files");
chooser.addEventListener("change", () => { add(chooser.files); chooser.value = ""; });
for (const button of document.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => (button.dataset.do === "choose" ? chooser.click() : record((file) => add([file]))));
}

let depth = 0;
const carries = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragenter", (event) => { if (carries(event)) { depth += 1; byId("curtain").hidden = false; } });
document.addEventListener("dragleave", (event) => { if (carries(event)) { depth -= 1; byId("curtain").hidden = depth > 0 ? false : true; } });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  byId("curtain").hidden = true;
  add([...(event.dataTransfer?.files ?? [])]);
});

byId("keys-button").addEventListener("click", () => byId("keys").showModal());
byId("keys-close").addEventListener("click", () => byId("keys").close());

themed(() => strips.draw());

let asking = null;
/** Ask for the token until it is right; several who need it wait for the same answer. */
const askForToken = () => {
  asking ??= new Promise((resolve) => {
    const dialog = byId("login");
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    byId("login-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        await ask("/v1/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: byId("login-token").value }) });
      } catch (error) {
        byId("login-wrong").textContent = error.status === 401 ? "That is not the token." : error.message;
        return;
      }
      byId("login-token").value = byId("login-wrong").textContent = "";
      dialog.close();
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
};
onLogin(askForToken);

addEventListener("pagehide", (event) => {
  if (event.persisted) return;
  for (const item of items) if (item.job) removeJob(item.job.id);
});

const minutes = (seconds) => (seconds >= 3600 ? `${+(seconds / 3600).toFixed(1)} h` : seconds >= 60 ? `${+(seconds / 60).toFixed(1)} min` : `${seconds} s`);

const start = async () => {
  model = await (await ask("/v1/model")).json();
  document.title = `${model.name} · gerund`;
  byId("model").hidden = false;
  byId("model").textContent = `${model.name}  ·  ${model.labels.length} actions`;
  byId("limits").textContent = `Up to ${bytes(model.limits.upload)} and ${minutes(model.limits.duration)} each. Videos stay on the server only while this page is open.`;
  byId("knows").hidden = false;
  byId("knows-count").textContent = `${model.labels.length} actions`;
  const most = 24;
  byId("knows-list").replaceChildren(...model.labels.slice(0, most).map((label) => make("li.chip", {}, swatch({ label }), gerundOf(label))));
  if (model.labels.length > most) byId("knows-list").append(make("li.chip", {}, `and ${model.labels.length - most} more`));
};
start().catch((error) => { byId("limits").textContent = error.message; });
