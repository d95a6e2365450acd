// The panels: videos, labels, bouts, how good it is, results. Each draws itself anew from the project.

import { byId, clock, icon, make, percent, spoken } from "../format.js";

const minutes = (seconds) => (seconds < 60 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(1)} min`);

const scaled = (share, kind = "i") => {
  const bar = make(kind);
  bar.style.transform = `scaleX(${Math.min(Math.max(share, 0), 1)})`;
  return bar;
};

export const swatch = (label) => make("span.swatch", { style: { "--c": label.colour } });

const standing = (video) => {
  if (video.stage === "working") return `looking, ${percent(video.share)}`;
  if (video.stage === "waiting") return "waits to be looked at";
  if (video.stage === "failed" || video.stage === "missing") return video.error;
  const said = [video.bouts ? `${video.bouts} ${video.bouts === 1 ? "bout" : "bouts"}` : "", video.certainty === null ? "" : `${percent(video.certainty)} sure`];
  return said.filter(Boolean).join(" · ") || "no labels yet";
};

export const showVideos = (project, open) => {
  const isEmpty = !project.videos.length && !project.pending;
  byId("nothing").hidden = !isEmpty;
  document.body.toggleAttribute("data-empty", isEmpty);
  byId("where").textContent = project.folder;
  const broken = Object.entries(project.unreadable);
  byId("unreadable").hidden = !broken.length;
  byId("unreadable").textContent = broken.length ? `Not readable: ${broken.slice(0, 3).map(([name, why]) => `${name} (${why})`).join("; ")}${broken.length > 3 ? ` and ${broken.length - 3} more` : ""}` : "";
  byId("pause").textContent = project.paused ? "Go on looking" : "Stop looking";
  byId("pause").hidden = !project.paused && !project.videos.some((video) => ["working", "waiting"].includes(video.stage));
  byId("library-title").textContent = project.clips ? "Clips" : "Videos";
  byId("kind").textContent = project.clips ? "Label parts of them" : "Sort as clips";
  byId("kind").title = project.clips ? "Show each on a timeline, to label parts of it" : "One label for each video, in a grid";
  byId("kind").hidden = !project.videos.length || (!project.clips && project.videos.some((video) => video.duration > 30));
  if (!project.clips) showFilms(project, open);
};

const showFilms = (project, open) => {
  const key = JSON.stringify([project.video, project.videos]);
  if (byId("items").dataset.key === key && byId("items").querySelector(".item")) return;
  byId("items").dataset.key = key;
  const rows = project.videos.map((video) => {
    const share = video.stage === "working" ? video.share : video.duration ? video.labelled / video.duration : 0;
    const bar = make("div.done", {}, scaled(share));
    return make(
      "li.item",
      { "aria-current": video.name === project.video ? "true" : null, "data-stage": video.stage, "data-name": video.name },
      make("div.picture", {},
        video.stage === "missing" ? make("div.thumb") : make("img.thumb", { src: `/v1/project/videos/${video.name}/picture?at=${(video.duration / 3).toFixed(1)}`, alt: "", loading: "lazy" }),
        make("span.length", {}, clock(video.duration).replace(/\.\d$/, ""))),
      make("div.text", {}, make("p.status", { title: video.title }, video.title), make("p.name", {}, standing(video)), bar),
      make("button.open", { type: "button", "aria-label": `Open ${video.title}: ${standing(video)}`, onclick: () => open(video.name) }),
    );
  });
  const focused = document.activeElement?.closest?.(".item")?.dataset.name;
  byId("items").replaceChildren(...rows);
  if (focused) byId("items").querySelector(`[data-name="${focused}"] .open`)?.focus();
};

export const showLabels = (project, begun, { press, edit }) => {
  const counts = new Map(project.counts ?? []);
  const key = JSON.stringify([project.labels, [...counts], begun?.label, project.clips]);
  if (byId("labels").dataset.key === key) return;
  byId("labels").dataset.key = key;
  const focused = document.activeElement?.closest?.("#labels") ? document.activeElement.dataset.label : null;
  byId("labels").replaceChildren(...project.labels.map((label) =>
    make("li.label", {}, make("div.label-chip", { "data-on": begun?.label === label.name, style: { "--c": label.colour } },
      make("button", { type: "button", "aria-pressed": String(begun?.label === label.name), "data-label": label.name, onclick: () => press(label) },
        label.key ? make("kbd", {}, label.key) : null, swatch(label), label.name === "nothing" ? "nothing here" : spoken(label.text), make("span.count", { title: project.clips ? "clips" : "bouts in this video" }, String(counts.get(label.name) ?? 0))),
      label.name === "nothing" ? null : make("button.edit", { type: "button", "aria-label": `Change the label ${label.text}`, onclick: () => edit(label) }, icon("edit"))))));
  if (focused) byId("labels").querySelector(`[data-label="${focused}"]`)?.focus();
};

const ROWS = 60;

/** Of many bouts those near the chosen one, or near the playhead. */
const near = (bouts, selected, now) => {
  const chosen = bouts.findIndex((bout) => bout.name === selected);
  const here = chosen >= 0 ? chosen : Math.max(bouts.findIndex((bout) => bout.end >= now), 0);
  const first = Math.max(Math.min(here - ROWS / 2, bouts.length - ROWS), 0);
  return [first, bouts.slice(first, first + ROWS)];
};

export const showBouts = (project, selected, now, { go, remove }) => {
  const panel = byId("panel-bouts");
  const bouts = project.inOrder;
  const [first, some] = near(bouts, selected, now);
  const key = JSON.stringify([some, selected, bouts.length, project.labels, project.number]);
  if (panel.dataset.key === key) return;
  panel.dataset.key = key;
  const list = make("ol.bouts", { start: first + 1 }, ...some.map((bout) => {
    const label = project.label(bout.label);
    if (!label) return null;
    const text = spoken(label.text);
    return make("li.bout", { "data-status": bout.status, "aria-current": bout.name === selected ? "true" : null, "data-bout": bout.name },
      make("button", { type: "button", onclick: () => go(bout) },
        swatch(label), make("span.what", {}, bout.status === "rejected" ? make("span.sr", {}, "not ") : null, text, bout.subject ? make("span.by", {}, ` ${bout.subject}`) : null, bout.by && bout.by !== project.by ? make("span.by", {}, ` · by ${bout.by}${bout.status === "suggested" ? ", not confirmed" : ""}`) : null), make("span.when", {}, `${clock(bout.start)} – ${clock(bout.end)}`)),
      make("button.remove", { type: "button", "aria-label": `Remove ${text} at ${clock(bout.start)}`, onclick: () => remove(bout.name) }, icon("close")));
  }).filter(Boolean));
  panel.replaceChildren(make("h2", {}, "Your bouts in this video"), bouts.length > ROWS ? make("p.small", {}, `${first + 1} to ${first + some.length} of ${bouts.length}, near the playhead.`) : "", bouts.length ? list : make("p.none", {}, "None yet. Play, and press a label’s key where it begins and where it ends."));
};

const curve = (points, twice) => {
  const svg = (kind, values, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  };
  const last = points.at(-1).bouts;
  const most = twice === null ? last : 2 * last;
  const x = (bouts) => 30 + (260 * bouts) / most;
  const y = (right) => 82 - 72 * right;
  const picture = svg("svg", { viewBox: "0 0 300 96", class: "curve", role: "img", "aria-label": points.map((each) => `${each.bouts} bouts: ${percent(each.right)}`).join(", ") });
  for (const right of [0, 0.5, 1]) picture.append(svg("line", { x1: 30, x2: 294, y1: y(right), y2: y(right) }), svg("text", { x: 0, y: y(right) + 4 }, percent(right)));
  if (twice !== null) picture.append(svg("path", { class: "more", d: `M${x(last)} ${y(points.at(-1).right)}L${x(2 * last)} ${y(twice)}` }));
  picture.append(svg("path", { d: points.map((each, place) => `${place ? "L" : "M"}${x(each.bouts)} ${y(each.right)}`).join("") }));
  for (const each of points) picture.append(svg("circle", { cx: x(each.bouts), cy: y(each.right), r: 4.5 }));
  if (twice !== null) picture.append(svg("circle", { class: "guess", cx: x(2 * last), cy: y(twice), r: 4.5 }));
  picture.append(svg("text", { x: x(last), y: 95, "text-anchor": "middle" }, `${last} bouts`));
  return picture;
};

export const showFigures = (project, found, { openBouts }) => {
  const panel = byId("panel-figures");
  const named = (name) => project.label(name);
  const one = project.clips ? "clip" : "bout";
  const rows = found.labels.filter((each) => named(each.label)).map((each) =>
    make("tr", {}, make("td", {}, swatch(named(each.label)), spoken(named(each.label).text)), make("td", {}, String(each.bouts)), make("td", {}, minutes(each.seconds)), make("td", {}, each.judged ? `${each.right} of ${each.judged}` : "–"), project.clips ? null : make("td", { "data-f1": each.label }, "")));
  const table = make("table.figures", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Label"), make("th", { scope: "col" }, project.clips ? "Clips" : "Bouts"), make("th", { scope: "col" }, "Time"), make("th", { scope: "col" }, "Right"), project.clips ? null : make("th", { scope: "col", title: "Of the model’s bouts and yours: how many have a partner of their label that overlaps by half" }, "F1@50"))), make("tbody", {}, ...rows));
  if (!found.judged) {
    panel.replaceChildren(make("h2", {}, "How good is it?"), make("p.none", {}, `Not known yet: two labels need ${project.clips ? "two clips" : "bouts in two places"} each, so that some can be held out.`), ...(rows.length ? [table] : []));
    return;
  }
  const [low, high] = found.interval;
  const range = make("div.range", {}, make("i", { style: { left: `${100 * low}%`, right: `${100 * (1 - high)}%` } }), make("b", { style: { left: `${(100 * found.right) / found.judged}%` } }));
  const how = found.by === "video" ? (project.clips ? "each judged by a model that has not seen it; clips cut from one video flatter it" : "each judged by a model that has not seen its video") : "each judged by a model that has not seen that stretch of time; label a third video for a harder test";
  const parts = [
    make("h2", {}, "How good is it?"),
    make("p.sum", {}, percent(found.right / found.judged), make("small", {}, `  ${found.right} of ${found.judged} held-out ${one}s right`)),
    range,
    make("p.small", {}, `Between ${percent(low)} and ${percent(high)} of new ones, as far as ${found.judged} can tell; ${how}.`),
    project.clips ? null : make("p.small", { id: "f1" }, "Borders and all: being worked out …"),
  ].filter(Boolean);
  if (found.curve.length > 1) {
    parts.push(make("h3", {}, "Is it enough?"), curve(found.curve, found.twice));
    if (found.twice !== null) parts.push(make("p.small", {}, `As many ${one}s again would probably bring ${percent(found.twice)}.`));
  }
  if (found.next && named(found.next.label)) parts.push(make("p", {}, make("strong", {}, `Next: more ${spoken(named(found.next.label).text)}. `), found.next.why === "few" ? `It has too few ${one}s.` : "It is mistaken most."));
  parts.push(make("h3", {}, "Labels"), table, make("h3", {}, "What is taken for what"), matrix(project, found, openBouts));
  panel.replaceChildren(...parts);
};

/** F1@50, which comes a little later. */
export const showF1 = ({ f1, labels }) => {
  const note = byId("f1");
  if (!note) return;
  note.replaceChildren(...(f1 === null ? ["Borders and all: not known yet."] : ["Borders and all: ", make("strong", {}, `F1@50 ${f1.toFixed(2)}`), ", of bouts that it finds by itself where you have labelled; 1 is perfect."]));
  for (const cell of document.querySelectorAll("[data-f1]")) cell.textContent = labels[cell.dataset.f1]?.toFixed(2) ?? "–";
};

const matrix = (project, found, openBouts) => {
  const labels = project.labels.filter((label) => found.confusions.some((each) => each.true === label.name || each.said === label.name));
  const cell = (row, column) => {
    const names = found.confusions.find((each) => each.true === row.name && each.said === column.name)?.bouts ?? [];
    if (!names.length) return make("td", {}, make("span.zero", {}, "·"));
    const text = `${names.length} of ${spoken(row.text)} taken for ${spoken(column.text)}`;
    return make("td", {}, make(`button.${row === column ? "hit" : "miss"}`, { type: "button", "aria-label": text, title: text, onclick: () => openBouts(text, names) }, String(names.length)));
  };
  const head = make("tr", {}, make("td"), ...labels.map((label) => make("th", { scope: "col", title: label.text }, label.key || spoken(label.text).slice(0, 4))));
  const rows = labels.map((row) => make("tr", {}, make("th", { scope: "row", title: row.text }, `${spoken(row.text)}${row.key ? ` ${row.key}` : ""}`), ...labels.map((column) => cell(row, column))));
  return make("div.wide-box", {}, make("table.matrix", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
};

const TOOLS = [["boris_project", "BORIS, a project"], ["boris", "BORIS, tables of events"], ["elan", "ELAN"], ["activitynet", "ActivityNet"], ["per_frame", "a row per picture"], ["srt", "subtitles, SRT"], ["vtt", "subtitles, WebVTT"], ["losslesscut", "LosslessCut"], ["edl", "EDL, for video editors"], ["cut_list", "list of cuts"]];

/** Files in other formats: of your labels or of the model's bouts. */
const exportsOf = (project, link) => {
  const whose = make("select", { id: "export-whose", "aria-label": "Whose bouts" }, make("option", { value: "yours" }, "your labels"), project.learned ? make("option", { value: "model" }, "the model’s bouts") : null);
  const form = make("select", { id: "export-form", "aria-label": "Format" }, ...TOOLS.map(([value, text]) => make("option", { value }, text)));
  const get = make("a.button", { id: "export-get", download: "" }, icon("download"), "Get");
  const counts = make("div.downloads");
  const point = () => {
    get.href = `/v1/project/export.zip?form=${form.value}&whose=${whose.value}`;
    counts.replaceChildren(...[["html", "Statistics"], ["csv", "as a table"], ["png", "Ethogram"]].map(([kind, text]) => link(`/v1/project/stats.${kind}?whose=${whose.value}`, text)));
  };
  whose.addEventListener("change", point);
  form.addEventListener("change", point);
  point();
  return make("div", {}, make("p.export", {}, whose, " as ", form, get), counts);
};

const served = (project, serve) => project.serving
  ? make("p", {}, "It answers at ", make("a", { href: project.serving, target: "_blank", rel: "noopener" }, project.serving), " ", make("button.plain.small-button", { type: "button", onclick: () => serve(false) }, "Stop serving"))
  : make("button.plain.small-button", { type: "button", disabled: !project.learned, onclick: (event) => { event.currentTarget.disabled = true; event.currentTarget.textContent = "Starting, a moment …"; serve(true); } }, "Serve this model");

export const showResults = (project, { save, serve, take }) => {
  const link = (href, text) => make("a", { href, download: "" }, icon("download"), text);
  const folder = project.folder;
  const quoted = /^[\w./-]+$/.test(folder) ? folder : `"${folder}"`;
  const commands = [`gerund predict ${quoted}/model VIDEO`, `gerund timeline ${quoted}/model VIDEO`, `gerund serve ${quoted}/model`, `gerund stats ${quoted}/labels.csv`, `gerund cut ${quoted}/labels.csv --out cuts`, `gerund train ${quoted}/labels.csv`];
  byId("panel-results").replaceChildren(
    make("h2", {}, "Results"),
    make("div.raster", { id: "raster" }),
    make("h3", {}, "Files"),
    make("div.downloads", {}, link("/v1/project/labels.csv", "Labels"), link("/v1/project/timelines.csv", "The model’s bouts")),
    exportsOf(project, link),
    make("div.row-actions", {}, make("button.plain.small-button", { type: "button", onclick: take }, icon("plus"), "Take in labels of others")),
    make("h3", {}, "The model"),
    make("p.small", { id: "saved" }, ""),
    make("div.row-actions", {}, make("button.plain.small-button", { type: "button", disabled: !project.learned, onclick: save }, "Save the model now"), served(project, serve)),
    make("h3", {}, "On the command line"),
    make("div.commands", {}, ...commands.map((each) => make("code", {}, each))),
    make("p.small", {}, "All of it is in ", make("span.path", {}, folder), ": labels.csv is written after every change, the model a few seconds after the last one."),
  );
};

/** Every video as a line: what you labelled in full height, what the model found lighter. */
export const showRaster = (project, lines) => {
  const raster = byId("raster");
  if (!raster) return;
  raster.replaceChildren(...lines.map(({ title }) => make("div.line", {}, make("span", { title }, title), make("canvas", { "aria-hidden": "true" }))));
  raster.querySelectorAll("canvas").forEach((canvas, place) => {
    const { duration, bouts, segments } = lines[place];
    canvas.width = canvas.clientWidth * (window.devicePixelRatio || 1);
    canvas.height = canvas.clientHeight * (window.devicePixelRatio || 1);
    const pen = canvas.getContext("2d");
    const draw = (things, alpha) => {
      for (const each of things) {
        const label = project.label(each.label);
        if (!label || each.status === "rejected") continue;
        pen.globalAlpha = alpha;
        pen.fillStyle = label.colour;
        pen.fillRect((each.start / duration) * canvas.width, 0, Math.max(((each.end - each.start) / duration) * canvas.width, 1), canvas.height);
      }
    };
    draw(segments, 0.5);
    draw(bouts, 1);
  });
};
