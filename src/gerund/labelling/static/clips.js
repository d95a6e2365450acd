// Clips mode: a grid of short clips, each with one label. A digit sorts what is selected and goes on to the next clip without a label.

import { byId, clock, icon, inkOn, make, percent, spoken } from "../format.js";

const PREVIEW_AFTER = 180;

const named = (label) => (label.name === "nothing" ? "nothing here" : spoken(label.text));

const status = (project, video) => {
  const [label, guess] = [project.label(video.label), project.label(video.guess)];
  if (label) return named(label);
  if (guess) return `${named(guess)}? ${percent(video.score)} sure`;
  if (video.stage === "failed" || video.stage === "missing") return video.error;
  return video.stage === "ready" ? "no label yet" : "not looked at yet";
};

export class Grid {
  constructor({ project, open, ask }) {
    Object.assign(this, { project, open, ask });
    this.list = byId("items");
    this.cells = new Map();
    this.chosen = new Set();
    this.filter = "all";
    this.order = "folder";
    this.list.addEventListener("click", (event) => this.click(event));
    this.list.addEventListener("pointerover", (event) => this.hover(event));
    byId("order").addEventListener("change", () => { this.order = byId("order").value; this.draw(); });
  }

  get videos() { return this.project.videos.filter((video) => video.stage !== "missing"); }

  /** What is shown, in order; the open clip stays in sight until another one is opened. */
  get shown() {
    const { filter } = this;
    const fits = (video) => filter === "all" || (filter === "open" ? !video.label : video.label === filter) || (video.name === this.project.video && this.kept === video.name);
    const found = this.videos.filter(fits);
    const unsure = (video) => (video.label ? 2 : video.guess ? video.score : 1.5);
    if (this.order === "unsure") found.sort((one, other) => unsure(one) - unsure(other));
    if (this.order === "label") found.sort((one, other) => this.place(one) - this.place(other) || other.score - one.score);
    return found;
  }

  place(video) {
    const found = this.project.labels.findIndex((label) => label.name === (video.label ?? video.guess));
    return found < 0 ? Infinity : found;
  }

  /** The clips that a key is about. */
  get selected() {
    const some = this.shown.filter((video) => this.chosen.has(video.name));
    return some.length ? some : this.videos.filter((video) => video.name === this.project.video);
  }

  // ---- what is shown

  draw() {
    const shown = this.shown;
    const names = new Set(this.videos.map((video) => video.name));
    for (const name of [...this.chosen]) if (!names.has(name)) this.chosen.delete(name);
    for (const name of [...this.cells.keys()]) if (!names.has(name)) this.cells.delete(name);
    const cells = shown.map((video) => this.cell(video));
    if (this.list.children.length !== cells.length || cells.some((cell, place) => this.list.children[place] !== cell)) {
      const focused = document.activeElement?.closest?.(".clip")?.dataset.name;
      this.list.replaceChildren(...cells);
      if (focused) this.cells.get(focused)?.querySelector(".open").focus({ preventScroll: true });
    }
    this.drawFilters();
    byId("chosen").textContent = this.chosen.size > 1 ? `${this.chosen.size} chosen` : "";
  }

  cell(video) {
    const cell = this.cells.get(video.name) ?? this.newCell(video);
    const label = this.project.label(video.label ?? video.guess);
    const said = status(this.project, video);
    const key = [said, label?.colour, label?.key, this.chosen.has(video.name), video.name === this.project.video, video.stage].join("|");
    if (cell.dataset.key === key) return cell;
    cell.dataset.key = key;
    cell.setAttribute("aria-current", video.name === this.project.video ? "true" : "false");
    cell.dataset.chosen = this.chosen.has(video.name);
    cell.dataset.stage = video.stage;
    const button = cell.querySelector(".open");
    button.setAttribute("aria-label", `${video.title}: ${said}`);
    button.setAttribute("aria-pressed", String(this.chosen.has(video.name)));
    button.tabIndex = video.name === this.project.video ? 0 : -1;
    cell.querySelector(".pick").setAttribute("aria-pressed", String(this.chosen.has(video.name)));
    const tag = cell.querySelector(".tag");
    tag.dataset.kind = video.label && label ? "yours" : label ? "guess" : "none";
    tag.style.setProperty("--c", label?.colour ?? "transparent");
    tag.style.setProperty("--on", label ? inkOn(label.colour) : "inherit");
    tag.replaceChildren(...(video.label && label && label.key ? [make("kbd", {}, label.key)] : []), make("span", {}, label && !video.label ? `${named(label)}?` : label ? named(label) : said), label && !video.label ? make("small", {}, percent(video.score)) : "");
    return cell;
  }

  newCell(video) {
    const at = (video.duration / 2).toFixed(2);
    const cell = make("li.clip", { "data-name": video.name },
      make("div.picture", {}, make("img", { src: `/v1/project/videos/${video.name}/picture?at=${at}`, alt: "", loading: "lazy", decoding: "async" }), make("span.length", {}, clock(video.duration))),
      make("p.tag"), make("p.title", { title: video.title }, video.title),
      make("button.open", { type: "button" }), make("button.pick", { type: "button", "aria-label": `Choose ${video.title} too` }, icon("check")));
    this.cells.set(video.name, cell);
    return cell;
  }

  drawFilters() {
    const counts = new Map();
    for (const video of this.videos) counts.set(video.label ?? "open", (counts.get(video.label ?? "open") ?? 0) + 1);
    const one = (name, text, count, colour) => make("button.filter", { type: "button", "aria-pressed": String(this.filter === name), onclick: () => { this.filter = name; this.kept = null; this.draw(); } }, colour ? make("span.swatch", { style: { "--c": colour } }) : null, text, make("span.count", {}, String(count)));
    const labels = this.project.labels.filter((label) => counts.has(label.name)).map((label) => one(label.name, named(label), counts.get(label.name), label.colour));
    const key = JSON.stringify([...counts, this.filter, this.project.labels.map((label) => label.text)]);
    if (byId("filters").dataset.key === key) return;
    byId("filters").dataset.key = key;
    byId("filters").replaceChildren(one("all", "All", this.videos.length), one("open", "To sort", counts.get("open") ?? 0), ...labels);
  }

  // ---- what is done

  /** Give the selected clips a label (null takes it away), or each the model's guess; then on to the next one without. */
  async sort(label, isGuess = false) {
    const selected = this.selected.filter((video) => (isGuess ? video.guess && !video.label : label !== null || video.label));
    if (!selected.length) return;
    const last = selected.at(-1).name;
    const next = label === null ? null : this.next(last, new Set(selected.map((video) => video.name)));
    const made = await this.project.edit("clips", { labels: Object.fromEntries(selected.map((video) => [video.name, isGuess ? video.guess : label])) });
    if (!made) return;
    this.chosen.clear();
    if (next) await this.go(next); else this.draw();
  }

  /** The clip after one that has no label yet, round to the first. */
  next(name, but) {
    const shown = this.shown;
    const place = shown.findIndex((video) => video.name === name);
    return [...shown.slice(place + 1), ...shown.slice(0, place)].find((video) => !video.label && !but.has(video.name))?.name ?? null;
  }

  async go(name, { focus = true } = {}) {
    this.kept = name;
    this.anchor = name;
    await this.open(name);
    this.draw();
    const cell = this.cells.get(name);
    cell?.scrollIntoView({ block: "nearest" });
    if (focus) cell?.querySelector(".open").focus({ preventScroll: true });
  }

  click(event) {
    const cell = event.target.closest(".clip");
    if (!cell) return;
    const { name } = cell.dataset;
    if (event.shiftKey && this.anchor) this.range(name);
    else if (event.target.closest(".pick") || event.ctrlKey || event.metaKey) this.toggle(name);
    else { this.chosen.clear(); this.go(name); }
  }

  toggle(name) {
    if (!this.chosen.size && this.project.video && this.project.video !== name && this.videos.some((video) => video.name === this.project.video && !video.label)) this.chosen.add(this.project.video);
    if (!this.chosen.delete(name)) this.chosen.add(name);
    this.anchor = name;
    this.draw();
  }

  range(name) {
    const shown = this.shown.map((video) => video.name);
    const [from, to] = [shown.indexOf(this.anchor), shown.indexOf(name)].sort((one, other) => one - other);
    if (from < 0) return;
    this.chosen = new Set(shown.slice(from, to + 1));
    this.draw();
  }

  /** A clip in motion under the pointer. */
  hover(event) {
    const cell = event.target.closest(".clip");
    if (cell === this.over || event.pointerType === "touch") return;
    clearTimeout(this.waiting);
    this.over?.querySelector("video")?.remove();
    this.over = cell;
    if (!cell) return;
    this.waiting = setTimeout(() => {
      const film = make("video", { playsinline: true, loop: true, src: `/v1/project/videos/${cell.dataset.name}/media`, "aria-hidden": "true" });
      film.muted = true;
      film.addEventListener("error", () => film.remove());
      film.addEventListener("loadeddata", () => film.play().catch(() => undefined));
      cell.querySelector(".picture").append(film);
    }, PREVIEW_AFTER);
    cell.addEventListener("pointerleave", () => { clearTimeout(this.waiting); this.over = null; cell.querySelector("video")?.remove(); }, { once: true });
  }

  get columns() { return getComputedStyle(this.list).gridTemplateColumns.split(" ").length; }

  /** What a key does in the grid, or nothing. */
  key(key) {
    const shown = this.shown.map((video) => video.name);
    const place = shown.indexOf(this.project.video);
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, Home: -Infinity, End: Infinity, PageUp: -3 * this.columns, PageDown: 3 * this.columns }[key];
    if (by !== undefined) {
      return (event) => {
        const to = shown[Math.min(Math.max(place + by, 0), shown.length - 1)];
        if (!to) return;
        if (event.shiftKey) {
          const anchor = this.anchor ?? this.project.video;
          this.go(to).then(() => { this.anchor = anchor; this.range(to); });
        } else { this.chosen.clear(); this.go(to); }
      };
    }
    return {
      Enter: () => this.sort(undefined, true), Delete: () => this.sort(null), Backspace: () => this.sort(null),
      Escape: () => { this.chosen.clear(); this.draw(); }, a: () => { this.chosen = new Set(shown); this.draw(); },
      n: () => { const next = this.next(this.project.video, new Set()); if (next) this.go(next); },
    }[key];
  }
}
