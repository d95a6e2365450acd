// The page: what happens when something is pressed, dragged or heard.

import { byId, clock, make, spoken } from "../format.js";
import { ask, onLogin } from "../server.js";
import { themed } from "../theme.js";
import { Grid } from "./clips.js";
import { listenToKeys } from "./keys.js";
import { showBouts, showF1, showFigures, showLabels, showRaster, showResults, showVideos } from "./panels.js";
import { Player } from "./player.js";
import { Project } from "./project.js";
import { Many, Review, Together } from "./review.js";
import { Timeline } from "./timeline.js";

const NOTHING = "nothing";
const LEAST = 0.04;

let selected = null;
let begun = null;
let hideToast = null;

const say = (text) => { byId("said").textContent = text; };

const toast = (text) => {
  clearTimeout(hideToast);
  byId("toast").textContent = text;
  byId("toast").hidden = false;
  hideToast = setTimeout(() => { byId("toast").hidden = true; }, 6000);
};

const project = new Project({
  changed: (what, edit) => {
    if (what === "learned") review.learnt();
    if (what === "gone") byId("state").dataset.kind = "bad";
    if (what === "edit") {
      say(`${edit.done === "undo" ? "Undone: " : edit.done === "redo" ? "Again: " : ""}${edit.said}`);
      if (selected && !project.bouts.has(selected)) selected = null;
    }
    draw();
    if (what !== "edit") panel();
  },
  redrawn: () => draw(),
  refused: (error) => toast(error.message),
});

const player = new Player({ moved: (seconds) => { timeline.move(seconds); live(); } });

const timeline = new Timeline({
  project,
  seek: (seconds) => player.seek(seconds),
  select: (name) => { selected = name; draw(); },
  moved: (name, side, to) => { project.edit(`bouts/${name}`, { [side]: round(to) }, "PATCH"); },
});

const review = new Review({
  project,
  open: (name) => open(name),
  play: (start, end) => player.repeat(start, end),
  stop: () => { player.loop = null; player.halt(); },
  changed: () => { draw(); },
});

const many = new Many({ project });
const together = new Together({ project, go: async (bout) => { await open(bout.video); goTo(bout); player.repeat(bout.start, bout.end); } });
const grid = new Grid({ project, open: (name) => openClip(name) });
const isOfClips = () => document.body.dataset.kind === "clips";
const round = (seconds) => Math.round(seconds * 1000) / 1000;

// ---- what is shown

const live = () => {
  const [yours, models] = [timeline.boutAt(player.now), timeline.segmentAt(player.now)];
  const label = project.label((begun ?? yours ?? models)?.label);
  const text = label ? `${label.name === NOTHING ? "nothing" : spoken(label.text)}${begun ? "…" : yours ? "" : "?"}` : "";
  if (byId("live").dataset.text === text + (label?.colour ?? "")) return;
  byId("live").dataset.text = text + (label?.colour ?? "");
  byId("live").replaceChildren(...(label ? [make("span.swatch", { style: { "--c": label.colour } }), make("span", {}, text)] : []));
};

const coachClips = (key, named) => {
  const sorted = project.videos.filter((video) => video.label).length;
  const labels = new Set(project.videos.map((video) => video.label).filter(Boolean));
  if (!sorted && !named.length) return [make("strong", {}, "What does this clip show?"), " Press ", key("1"), " and name it, or add a label below. Arrows go to another clip."];
  if (labels.size < 2) return [make("strong", {}, "Press a label’s key for each clip"), "; the next clip without one comes by itself. With two labels the model starts to guess."];
  if (!project.learned) return [make("strong", {}, "It is still looking at the clips"), ", and guesses as soon as it has seen two labels."];
  if (sorted < 12) return [make("strong", {}, "It has begun to guess: "), key("Enter"), " where it is right, a label’s key where it is not."];
  return [];
};

const coach = () => {
  const key = (name) => make("kbd", {}, name);
  const total = project.videos.reduce((sum, video) => sum + video.bouts, 0);
  const named = project.labels.filter((label) => label.name !== NOTHING);
  const used = new Set(project.inOrder.filter((bout) => bout.status === "confirmed").map((bout) => bout.label));
  if (review.active || !project.videos.length) return [];
  if (!project.pending && project.videos.every((video) => video.stage === "missing")) return [make("strong", {}, "These videos are not where they were."), " Put them back into ", make("span.path", {}, project.folder), ", under any name: they are known by what is in them, and their labels are kept."];
  if (project.clips) return coachClips(key, named);
  if (begun) return [make("strong", {}, `${spoken(project.label(begun.label)?.text ?? "")} since ${clock(begun.start)}.`), " Go to where it ends and press ", key(project.label(begun.label)?.key || "its button"), " again; ", key("Esc"), " forgets it."];
  if (!named.length) return [make("strong", {}, "What do you want to find?"), " Name the first action below, or press ", key("1"), " where you see it begin."];
  if (!total) return [make("strong", {}, "Play with "), key("Space"), make("strong", {}, ". "), "Where ", make("strong", {}, spoken(named[0].text)), " begins, press ", key(named[0].key || "1"), "; where it ends, press it again."];
  if (named.length < 2 && !project.label(NOTHING)) return [make("strong", {}, "Good. Now a second label"), ", or ", key("0"), " for time in which nothing happens: the model learns from the difference."];
  if (!project.learned) return [make("strong", {}, "One bout of another label"), ` and the model starts to learn${used.size > 1 ? "; it is still looking at the video" : ""}.`];
  if (total < 8) return [make("strong", {}, "It has begun to learn."), " Its bouts are below yours: ", key("Enter"), " where it is right, a label’s key where it is not. Or let it ask: ", key("R")];
  return [];
};

const state = () => {
  const element = byId("state");
  const looking = project.videos.find((video) => video.stage === "working");
  const [kind, text] = project.complaint ? ["bad", project.complaint]
    : project.pending ? ["busy", `${project.pending} files to look at`]
      : looking ? ["busy", `looking at ${looking.title}`]
        : project.learned && project.suggested !== null && project.suggested < project.number ? ["busy", "learning"]
          : project.learned ? ["good", "up to date"] : ["", "all saved"];
  element.dataset.kind = kind;
  element.replaceChildren(make("span", {}, text));
  element.title = text;
};

/** Draw once before the next picture of the screen, however often it is asked for. */
const draw = () => { draw.waiting ??= requestAnimationFrame(() => { draw.waiting = null; drawNow(); }); };

const drawNow = () => {
  timeline.selected = selected;
  timeline.begun = begun;
  timeline.draw();
  const counts = new Map();
  if (project.clips) for (const video of project.videos) counts.set(video.label, (counts.get(video.label) ?? 0) + 1);
  else for (const bout of project.bouts.values()) if (bout.status === "confirmed") counts.set(bout.label, (counts.get(bout.label) ?? 0) + 1);
  project.counts = counts;
  showLabels(project, begun, { press, edit: editLabel });
  document.body.dataset.kind = project.clips ? "clips" : "films";
  showVideos(project, open);
  if (project.clips) grid.draw();
  byId("coach").replaceChildren(...coach());
  byId("title").textContent = project.title ?? "";
  for (const [id, name] of [["undo", project.undo], ["redo", project.redo]]) {
    byId(id).disabled = !name;
    const text = `${id === "undo" ? "Undo" : "Do again"}${name ? `: ${name}` : ""}`;
    byId(id).title = text;
    byId(id).setAttribute("aria-label", text);
  }
  if (document.body.dataset.panel === "bouts") showBouts(project, selected, player.now, { go: goTo, remove: (name) => project.edit(`bouts/${name}/removal`) });
  timeline.subject = who();
  showWho();
  state();
  live();
};

/** F1@50 takes a second or more: one question at a time, and another one when something has changed meanwhile. */
const judge = async () => {
  if (judge.last) showF1(judge.last);
  judge.again = judge.busy;
  if (judge.busy) return;
  judge.busy = true;
  try {
    judge.last = await project.json("figures/timelines");
    showF1(judge.last);
  } catch (error) { toast(error.message); } finally { judge.busy = false; }
  if (judge.again && document.body.dataset.panel === "figures") judge();
};

/** Draw the panel that is in sight anew. */
const panel = async () => {
  const shown = document.body.dataset.panel;
  if (shown === "review" && !review.busy) review.draw();
  if (shown === "figures") {
    showFigures(project, await project.json("figures"), { openBouts });
    if (!project.clips) judge();
  }
  if (shown === "results") {
    showResults(project, { save, serve, take: () => { byId("import-wrong").textContent = ""; byId("import").showModal(); } });
    const found = await Promise.all(project.videos.slice(0, 60).map(async (video) => ({ title: video.title, ...(await project.json(`videos/${video.name}`)) })));
    showRaster(project, found.filter((each) => each.duration));
  }
};

const openPanel = (name) => {
  document.body.dataset.panel = name;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.panel === name));
    tab.tabIndex = tab.dataset.panel === name ? 0 : -1;
  }
  draw();
  panel().catch((error) => toast(error.message));
};

// ---- what is done

const open = async (name) => {
  if (!name || name === project.video) return;
  begun = null;
  selected = null;
  await project.open(name);
  const video = project.videos.find((each) => each.name === name);
  const duration = project.duration || video?.duration || 0;
  player.fps = project.fps;
  timeline.show(name, duration);
  player.show(name, duration);
  draw();
};

/** Whom new bouts show. */
const who = () => byId("subject").value.trim();

/** A chosen bout tells whom it shows, and is told. */
const showWho = () => {
  const bout = project.bouts.get(selected);
  byId("subject-note").textContent = bout ? "of the chosen bout" : who() ? "in new bouts" : "";
  if (document.activeElement === byId("subject")) return;
  if (bout && byId("subject").dataset.bout !== bout.name + bout.subject) {
    byId("subject").dataset.bout = bout.name + bout.subject;
    byId("subject").value = bout.subject;
  }
  if (!bout) byId("subject").dataset.bout = "";
  const known = (project.subjects ?? []).join("|");
  if (byId("subjects").dataset.known !== known) {
    byId("subjects").dataset.known = known;
    byId("subjects").replaceChildren(...(project.subjects ?? []).map((subject) => make("option", { value: subject })));
  }
};

/** A clip plays by itself, again and again. */
const openClip = async (name) => {
  await open(name);
  player.repeat(0, project.duration);
};

const press = (label) => {
  if (review.active) { review.answer(label.name); return; }
  if (isOfClips()) { grid.sort(label.name); return; }
  if (!project.video) return;
  const now = round(player.now);
  if (!begun) begun = { label: label.name, start: now };
  else {
    const { label: before, start } = begun;
    begun = null;
    const [from, to] = [Math.min(start, now), Math.max(start, now)];
    if (to - from >= LEAST) project.edit("bouts", { video: project.video, label: before, start: from, end: to, subject: who() });
    if (before !== label.name) begun = { label: label.name, start: now };
    else if (to - from < LEAST) say("Forgotten: it would have had no length");
  }
  draw();
};

const askFor = ({ title, note, label, value = "", ok = "Add", remove = null }) =>
  new Promise((resolve) => {
    const dialog = byId("ask");
    byId("ask-title").textContent = title;
    byId("ask-note").textContent = note;
    byId("ask-label").textContent = label;
    byId("ask-text").value = value;
    byId("ask-ok").textContent = ok;
    byId("ask-remove").hidden = !remove;
    byId("ask-remove").textContent = remove ?? "";
    const end = (answer) => { dialog.close(); resolve(answer); };
    byId("ask-form").onsubmit = (event) => { event.preventDefault(); end(byId("ask-text").value.trim() || null); };
    byId("ask-cancel").onclick = () => end(null);
    byId("ask-remove").onclick = () => end(false);
    dialog.oncancel = () => resolve(null);
    dialog.showModal();
    byId("ask-text").select();
  });

const newLabel = async (text) => {
  const before = new Set(project.labels.map((label) => label.name));
  const made = await project.edit("labels", { text });
  if (!made) return null;
  await project.refresh();
  return project.labels.find((label) => !before.has(label.name)) ?? null;
};

const editLabel = async (label) => {
  const text = await askFor({ title: "Change a label", note: "With the name of another label, the two become one.", label: "Name", value: label.text, ok: "Change", remove: "Remove it and its bouts" });
  if (text === false) await project.edit(`labels/${label.name}/removal`);
  else if (text && text !== label.text) await project.edit(`labels/${label.name}`, { text }, "PATCH");
  await project.refresh();
};

const digit = async (key, isWhole) => {
  let label = project.withKey(key);
  const at = player.now;
  if (!label && key === "0") label = await newLabel("background");
  else if (!label && !review.active) {
    player.halt();
    const text = await askFor({ title: `What is ${key}?`, note: isOfClips() ? "What this clip shows. You can rename it at any time." : `It begins here, at ${clock(at)}. You can rename it at any time.`, label: "Name of the label" });
    label = text ? await newLabel(text) : null;
    if (label && label.key !== key && /[1-9]/.test(key)) {
      await project.edit(`labels/${label.name}`, { key }, "PATCH");
      await project.refresh();
      label = project.label(label.name);
    }
  }
  if (!label) return;
  if (isWhole && !review.active && !isOfClips()) await project.edit("bouts", { video: project.video, label: label.name, start: 0, end: project.duration, subject: who() });
  else press(label);
};

/** The bout that a key is about: the one that is selected, or the one under the playhead. */
const current = () => project.bouts.get(selected) ?? timeline.boutAt(player.now);

const goTo = (bout) => {
  selected = bout.name;
  player.seek(bout.start + 0.001);
  draw();
};

const openBouts = (title, names) => together.open(title, names).catch((error) => toast(error.message));

const actions = {
  toggle: () => player.toggle(),
  shuttle: (forwards) => player.shuttle(forwards),
  step: (by, isSecond) => { if (isSecond) player.seek(player.now + by); else player.step(by); },
  seek: (to) => player.seek(to === Infinity ? project.duration : to),
  zoom: (factor) => timeline.zoom(factor),
  help: () => byId("keys").showModal(),
  digit,
  review: () => { openPanel("review"); if (review.active) review.end(); else if (project.learned) review.begin().catch((error) => toast(error.message)); },
  undo: (isAgain) => project.edit(isAgain ? "redo" : "undo").then((made) => { if (made) project.reload(); }),
  cancel: () => { begun = null; selected = null; draw(); },
  remove: () => { const bout = current(); if (bout) project.edit(`bouts/${bout.name}/removal`); },
  accept: () => {
    const theirs = current();
    const found = timeline.segmentAt(player.now);
    if (theirs?.status === "suggested") project.edit(`bouts/${theirs.name}`, { label: theirs.label }, "PATCH");
    else if (found) project.edit("bouts", { video: project.video, label: found.label, start: found.start, end: found.end, subject: who() });
    else say("The model says nothing here");
  },
  border: (side) => {
    const now = round(player.now);
    const fits = (bout) => bout.status !== "rejected" && (side === "start" ? now < bout.end - LEAST : now > bout.start + LEAST);
    const near = project.inOrder.filter(fits).sort((one, other) => Math.abs(one[side] - now) - Math.abs(other[side] - now));
    const bout = project.bouts.get(selected) && fits(project.bouts.get(selected)) ? project.bouts.get(selected) : near[0];
    if (bout) project.edit(`bouts/${bout.name}`, { [side]: now }, "PATCH");
  },
  split: () => { const bout = timeline.boutAt(player.now); if (bout) project.edit(`bouts/${bout.name}/parts`, { at: round(player.now) }); },
  merge: () => {
    const bout = current();
    const next = bout && project.inOrder.find((each) => each.start >= bout.end - 1e-3 && each.status === "confirmed");
    if (next) project.edit(`bouts/${bout.name}/union`, { other: next.name });
  },
  bout: (by) => {
    const starts = [...new Map([...project.segments, ...project.inOrder.filter((each) => each.status !== "rejected")].map((each) => [each.start.toFixed(2), each])).values()].sort((one, other) => one.start - other.start);
    const found = by > 0 ? starts.find((each) => each.start > player.now + 0.02) : starts.filter((each) => each.start < player.now - 0.02).at(-1);
    if (found) { selected = found.name ?? null; player.seek(found.start + 0.001); draw(); }
  },
  who: () => { byId("subject").focus(); byId("subject").select(); },
  video: (by) => {
    const place = project.videos.findIndex((video) => video.name === project.video);
    open(project.videos[place + by]?.name);
  },
};

const save = async () => {
  const found = await (await ask("/v1/project/model", { method: "POST" })).json();
  byId("saved").textContent = found.error || (found.folder ? `Saved in ${found.folder}` : "There is nothing to save yet.");
};

const serve = async (isOn) => {
  try {
    await project.post("serving", { on: isOn });
  } catch (error) { toast(error.message); }
  await project.refresh();
  await panel();
};

const takeIn = async () => {
  const file = byId("import-file").files[0];
  if (!file) return;
  byId("import-wrong").textContent = "";
  try {
    const asked = new URLSearchParams({ name: file.name, by: byId("import-by").value.trim() });
    const made = await (await ask(`/v1/project/imports?${asked}`, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file })).json();
    byId("import").close();
    byId("import-form").reset();
    project.take(made);
    await project.refresh();
    await project.reload();
    toast(`Taken in: ${made.said}. Undo takes them out again.`);
  } catch (error) { byId("import-wrong").textContent = error.message; }
};

// ---- begin

listenToKeys(actions, review, grid);
byId("kind").addEventListener("click", () => project.post("kind", { clips: !project.clips }).then(() => project.refresh()));
byId("undo").addEventListener("click", () => actions.undo(false));
byId("redo").addEventListener("click", () => actions.undo(true));
byId("keys-button").addEventListener("click", () => actions.help());
byId("keys-close").addEventListener("click", () => byId("keys").close());
byId("zoom-in").addEventListener("click", () => actions.zoom(0.6));
byId("zoom-out").addEventListener("click", () => actions.zoom(1 / 0.6));
byId("pause").addEventListener("click", async () => {
  const isGoingOn = project.paused;
  await project.post("features", { paused: !isGoingOn });
  await project.refresh();
  if (isGoingOn && !byId("cover").hidden) player.show(project.video, project.duration);
});
byId("subject").addEventListener("change", () => {
  const bout = project.bouts.get(selected);
  if (bout && bout.subject !== who()) project.edit(`bouts/${bout.name}`, { subject: who() }, "PATCH");
  draw();
});
byId("import-form").addEventListener("submit", (event) => { event.preventDefault(); takeIn(); });
byId("import-cancel").addEventListener("click", () => byId("import").close());
byId("new-label").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = byId("new-label-text").value.trim();
  if (text && (await newLabel(text))) byId("new-label-text").value = "";
});
document.addEventListener("click", async (event) => {
  if (event.target.closest("#many-open")) many.open().catch((error) => toast(error.message));
  if (event.target.closest("[data-do=look]")) look();
  const practice = event.target.closest("[data-do=practice]");
  if (practice) {
    practice.disabled = true;
    practice.textContent = "Drawing them, a moment …";
    await project.post("practice", {}).catch((error) => toast(error.message));
  }
});
for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => openPanel(tab.dataset.panel));
  tab.addEventListener("keydown", (event) => {
    const tabs = [...document.querySelectorAll("[role=tab]")];
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) { const next = tabs.at((tabs.indexOf(tab) + by) % tabs.length); openPanel(next.dataset.panel); next.focus(); }
  });
}
onLogin(() => new Promise((resolve) => {
  byId("login").showModal();
  byId("login-form").onsubmit = async (event) => {
    event.preventDefault();
    const answer = await fetch("/v1/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: byId("login-token").value }) });
    if (answer.ok) { byId("login").close(); resolve(); } else byId("login-wrong").textContent = "This is not the token.";
  };
}));
themed(() => timeline.restyle());

/** Videos may have been put into the folder while another window was in front. */
const look = () => project.post("look", {}).catch(() => undefined);
window.addEventListener("focus", look);
setInterval(() => { if (document.body.hasAttribute("data-empty") && !document.hidden) look(); }, 4000);

const begin = async () => {
  await project.refresh();
  project.listen();
  const first = () => { if (!project.video && project.videos.length) open(project.videos.find((video) => video.stage !== "missing")?.name ?? null).catch((error) => toast(error.message)); };
  first();
  setInterval(first, 1000);
};
begin().catch((error) => toast(error.message));
