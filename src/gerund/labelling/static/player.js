// The player: one picture or second at a time, backwards too, a span in a loop; a small copy where the browser cannot play the file.

import { ask } from "../server.js";
import { byId, clock, icon, make } from "../format.js";

export class Player {
  constructor({ moved }) {
    this.moved = moved;
    this.video = byId("video");
    this.fps = 25;
    this.backwards = null;
    this.loop = null;
    byId("play").addEventListener("click", () => this.toggle());
    byId("screen").addEventListener("click", (event) => { if (!event.target.closest("button")) this.toggle(); });
    for (const kind of ["play", "pause", "ended"]) this.video.addEventListener(kind, () => this.button());
    for (const kind of ["seeked", "timeupdate", "loadeddata"]) this.video.addEventListener(kind, () => this.tick());
    this.video.addEventListener("error", () => this.failed());
    const frame = () => { if (!this.video.paused) { this.tick(); requestAnimationFrame(frame); } };
    this.video.addEventListener("play", () => requestAnimationFrame(frame));
  }

  get now() { return Math.min(this.video.currentTime || 0, this.duration || Infinity); }

  show(name, duration) {
    this.halt();
    this.name = name;
    this.duration = duration;
    this.loop = null;
    this.isCopy = false;
    this.cover();
    byId("total").textContent = ` / ${clock(duration)}`;
    this.video.src = `/v1/project/videos/${name}/media`;
    this.tick();
  }

  async failed() {
    const name = this.name;
    if (!name || this.isCopy) {
      if (name) this.cover("This video cannot be played here", "It can still be labelled by what the model suggests.");
      return;
    }
    this.isCopy = true;
    this.cover("Making a small copy to show", "This browser cannot play the file as it is. Times stay exact.", true);
    try {
      await ask(`/v1/project/videos/${name}/copy.mp4`, { headers: { Range: "bytes=0-0" } });
      if (name !== this.name) return;
      this.video.src = `/v1/project/videos/${name}/copy.mp4`;
      this.cover();
    } catch (error) {
      if (name === this.name) this.cover("This video cannot be shown", error.message);
    }
  }

  cover(title, text, busy = false) {
    const cover = byId("cover");
    cover.hidden = !title;
    cover.replaceChildren(...(title ? [make("strong", {}, title), make("p", {}, text), busy ? make("div.meter.unknown", {}, make("i")) : null].filter(Boolean) : []));
  }

  tick() {
    if (this.loop && !this.video.paused && this.video.currentTime >= this.loop.end - 0.02) this.video.currentTime = this.loop.start;
    byId("now").textContent = clock(this.now);
    this.moved(this.now);
  }

  button() {
    const playing = !this.video.paused || this.backwards;
    byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    byId("play").replaceChildren(icon(playing ? "pause" : "play"));
  }

  seek(seconds) {
    if (this.loop && (seconds < this.loop.start || seconds > this.loop.end)) this.loop = null;
    this.video.currentTime = Math.min(Math.max(seconds, 0), Math.max((this.duration || 0) - 0.001, 0));
    byId("now").textContent = clock(this.now);
    this.moved(this.now);
  }

  toggle() {
    if (this.backwards || !this.video.paused) this.halt();
    else this.play(1);
  }

  play(rate) {
    this.still();
    this.video.playbackRate = rate;
    if (this.video.ended) this.video.currentTime = 0;
    this.video.play().catch(() => undefined);
  }

  halt() {
    this.still();
    this.video.pause();
    this.button();
  }

  still() {
    clearInterval(this.backwards);
    this.backwards = null;
  }

  /** A key of editors: L forwards, and faster each time; J backwards. */
  shuttle(forwards) {
    if (forwards) {
      this.play(this.video.paused ? 1 : Math.min(this.video.playbackRate * 2, 8));
      return;
    }
    this.video.pause();
    if (this.backwards) return;
    this.backwards = setInterval(() => { this.seek(this.now - 0.1); if (this.now <= 0) this.halt(); }, 100);
    this.button();
  }

  /** To the picture before or after; half a picture further, since a picture begins exactly at its time. */
  step(pictures) {
    this.halt();
    this.seek((Math.floor(this.now * this.fps + 0.01) + pictures + 0.001) / this.fps);
  }

  /** Play a span again and again. */
  repeat(start, end) {
    this.loop = { start, end: Math.max(end, start + 0.2) };
    this.seek(start + 0.001);
    this.play(1);
  }
}
