// The strips under the player: pictures, segments, how sure, what counted; a playhead over all of them.

import { byId, clock, inkOn, make, percent, spoken } from "./format.js";

/** Seconds: of a longer film the answer for the whole, and what counted for it, say little. */
const WHOLE_SECONDS = 60;
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

export class Strips {
  constructor({ seek, colour }) {
    this.seek = seek;
    this.colour = colour;
    this.tracks = byId("tracks");
    this.result = null;
    this.duration = 0;
    this.tracks.addEventListener("pointerdown", (event) => this.press(event));
    this.tracks.addEventListener("pointermove", (event) => this.point(event));
    this.tracks.addEventListener("pointerleave", () => { byId("hover").hidden = true; });
    new ResizeObserver(() => this.draw()).observe(this.tracks);
  }

  /** Show a result, or nothing while there is none; `duration` in seconds. */
  show(result, duration, labels) {
    this.result = result;
    this.duration = duration;
    this.labels = labels;
    this.tracks.setAttribute("aria-valuemax", duration.toFixed(2));
    for (const name of ["weight-tag", "weight-lane"]) byId(name).hidden = duration > WHOLE_SECONDS;
    byId("segments").replaceChildren(...(result ? result.timeline.segments.map((each) => this.segment(each)) : []));
    this.draw();
  }

  segment(each) {
    const colour = this.colour(each.label);
    const text = `${spoken(each.label)}, ${clock(each.start)} to ${clock(each.end)}, ${percent(each.score)}`;
    const place = {
      left: `${(100 * each.start) / this.duration}%`,
      width: `${(100 * (each.end - each.start)) / this.duration}%`,
      "--c": colour,
      "--on": inkOn(colour),
    };
    return make("button.segment", { type: "button", "aria-label": text, "data-start": each.start, style: place, onclick: () => this.seek(each.start) }, make("span", { "data-label": spoken(each.label) }, spoken(each.label)));
  }

  at(event) {
    const box = this.tracks.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.duration;
  }

  press(event) {
    if (!this.duration || event.button) return;
    if (event.target.closest(".segment") && event.pointerType === "mouse") return; // its click goes to its start
    this.seek(this.at(event));
    this.tracks.setPointerCapture(event.pointerId);
  }

  point(event) {
    if (!this.duration) return;
    const seconds = this.at(event);
    if (event.buttons && this.tracks.hasPointerCapture(event.pointerId)) this.seek(seconds);
    const share = seconds / this.duration;
    const hover = byId("hover");
    const best = this.best(seconds);
    hover.hidden = false;
    hover.style.left = `${100 * share}%`;
    hover.style.setProperty("--shift", share < 0.12 ? "-8px" : share > 0.88 ? "calc(-100% + 8px)" : "-50%");
    hover.firstChild.textContent = best ? `${clock(seconds)}   ${spoken(best.label)} ${percent(best.score)}` : clock(seconds);
  }

  /** The row of the steps at a time: the last one that has begun. */
  step(seconds) {
    const { pts } = this.result.steps;
    let low = 0;
    let high = pts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pts[middle] <= seconds + 1e-3) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  ranked(seconds) {
    if (!this.result) return [];
    const row = this.step(seconds);
    const { labels, scores } = this.result.steps;
    return labels[row].map((index, rank) => ({ label: this.labels[index], score: scores[row][rank] }));
  }

  best(seconds) {
    return this.ranked(seconds)[0];
  }

  segmentAt(seconds) {
    return this.result?.timeline.segments.find((each) => each.start <= seconds + 1e-3 && seconds < each.end - 1e-3);
  }

  move(seconds) {
    const share = this.duration ? Math.min(1, seconds / this.duration) : 0;
    byId("head").style.left = `${100 * share}%`;
    const best = this.best(seconds);
    this.tracks.setAttribute("aria-valuenow", seconds.toFixed(2));
    this.tracks.setAttribute("aria-valuetext", best ? `${clock(seconds)}, ${spoken(best.label)} ${percent(best.score)}` : clock(seconds));
  }

  /** Each label as far as its whole words fit into its box; none where the first does not. */
  fit() {
    for (const span of byId("segments").querySelectorAll("span")) {
      const words = span.dataset.label.split(" ");
      span.textContent = span.dataset.label;
      for (let kept = words.length - 1; span.scrollWidth > span.clientWidth && kept >= 0; kept -= 1)
        span.textContent = kept ? `${words.slice(0, kept).join(" ")} …` : "";
    }
  }

  draw() {
    this.axis();
    this.fit();
    const sure = canvas(byId("sure"));
    const weight = canvas(byId("weight"));
    if (!this.result || !this.duration) return;
    const { pts, labels, scores } = this.result.steps;
    pts.forEach((start, row) => {
      const end = row + 1 < pts.length ? pts[row + 1] : this.duration;
      const [left, right] = [start, end].map((each) => (each / this.duration) * sure.width);
      const height = scores[row][0] * (sure.height - 2);
      sure.pen.fillStyle = this.colour(this.labels[labels[row][0]]);
      sure.pen.fillRect(left, sure.height - height, Math.max(right - left, 1) + 0.5, height);
    });
    const most = Math.max(...this.result.weights.map((each) => each.weight), 1e-9);
    weight.pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
    for (const each of this.result.weights) {
      const [left, right] = [each.start, each.end].map((at) => (at / this.duration) * weight.width);
      weight.pen.globalAlpha = 0.08 + 0.72 * (each.weight / most);
      weight.pen.fillRect(left + 1, 0, Math.max(right - left - 2, 1), weight.height);
    }
  }

  axis() {
    const room = this.tracks.clientWidth / 72;
    const step = TICKS.find((each) => this.duration / each <= room) ?? this.duration;
    const ticks = [];
    for (let at = 0; at < this.duration - step * 0.6 && ticks.length < 40; at += step) ticks.push(at);
    if (this.duration) ticks.push(this.duration);
    byId("axis").replaceChildren(...ticks.map((at) => make("span", { style: { left: `${(100 * at) / this.duration}%` } }, clock(at))));
  }
}

/** A canvas made ready at the screen's own resolution. */
export const canvas = (element) => {
  const scale = window.devicePixelRatio || 1;
  const { width, height } = element.parentElement.getBoundingClientRect();
  element.width = Math.round(width * scale);
  element.height = Math.round(height * scale);
  const pen = element.getContext("2d");
  pen.scale(scale, scale);
  return { pen, width, height };
};

const moment = (video, seconds) =>
  new Promise((resolve) => {
    const done = () => { clearTimeout(late); video.removeEventListener("seeked", done); resolve(); };
    const late = setTimeout(done, 4000);
    video.addEventListener("seeked", done);
    video.currentTime = seconds;
  });

/** Pictures spread over a video, drawn side by side; gives up silently where the browser cannot decode it. `alive` says whether to go on. */
export const thumbnails = async (source, duration, alive) => {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  video.src = source;
  await new Promise((resolve) => { video.onloadeddata = resolve; video.onerror = resolve; setTimeout(resolve, 8000); });
  const element = byId("thumbs");
  if (!video.videoWidth || !alive()) return null;
  const { pen, width, height } = canvas(element);
  const each = Math.max(28, (height * video.videoWidth) / video.videoHeight);
  const count = Math.max(1, Math.ceil(width / each));
  for (let place = 0; place < count; place += 1) {
    await moment(video, Math.min(((place + 0.5) * each * duration) / width, Math.max(duration - 0.05, 0)));
    if (!alive()) return null;
    pen.drawImage(video, place * each, 0, each - 1, height);
  }
  return element;
};

/** A small picture of a video, as a data address; null where the browser cannot decode it. */
export const portrait = async (source) => {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  video.src = source;
  await new Promise((resolve) => { video.onloadeddata = resolve; video.onerror = resolve; setTimeout(resolve, 8000); });
  if (!video.videoWidth) return null;
  if (Number.isFinite(video.duration)) await moment(video, video.duration / 3);
  const element = document.createElement("canvas");
  element.width = 168;
  element.height = 108;
  const scale = Math.max(168 / video.videoWidth, 108 / video.videoHeight);
  const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
  element.getContext("2d").drawImage(video, (168 - width) / 2, (108 - height) / 2, width, height);
  return element.toDataURL("image/jpeg", 0.8);
};
