// The project as this window knows it, and everything that is asked of the server. An edit is shown when the server has it on its disk.

import { ask, ServerError } from "../server.js";

const token = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;

const sent = (method, values) => ({ method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) });

export class Project {
  constructor({ changed, redrawn, refused }) {
    this.told = { changed, redrawn, refused };
    this.number = 0;
    this.labels = [];
    this.videos = [];
    this.bouts = new Map();
    this.segments = [];
    this.suggested = null;
    this.video = null;
    this.queue = Promise.resolve();
  }

  label(name) { return this.labels.find((each) => each.name === name); }

  withKey(key) { return this.labels.find((each) => each.key === key); }

  /** The bouts of the open video by their starts. */
  get inOrder() {
    this.sorted ??= [...this.bouts.values()].sort((one, other) => one.start - other.start);
    return this.sorted;
  }

  /** Those of them that are drawn, and how long the longest is. */
  get drawn() {
    if (this.drawnOf !== this.inOrder) {
      this.drawnOf = this.inOrder;
      const bouts = this.inOrder.filter((bout) => bout.status !== "rejected");
      this.drawnBouts = { bouts, longest: bouts.reduce((most, bout) => Math.max(most, bout.end - bout.start), 0), subjects: [...new Set(bouts.map((bout) => bout.subject))].sort() };
    }
    return this.drawnBouts;
  }

  /** Read the whole project anew. `number` stays that of the bouts that are shown: it is what an edit says to have seen. */
  async refresh() {
    const { number, ...found } = await (await ask("/v1/project")).json();
    Object.assign(this, found);
    if (!this.video) this.number = number;
    this.told.changed("project");
  }

  /** Soon, once for many reasons. */
  refreshSoon() {
    this.waiting ??= setTimeout(() => { this.waiting = null; this.refresh().catch((error) => this.told.refused(error)); }, 250);
  }

  async open(name) {
    this.video = name;
    ask(`/v1/project/videos/${name}/open`, { method: "POST" }).catch(() => undefined);
    await this.reload();
  }

  /** Segments of the open video, and unless they alone are wanted its bouts. */
  async reload({ segmentsAlone = false } = {}) {
    const name = this.video;
    if (!name) return;
    const found = await (await ask(`/v1/project/videos/${name}${segmentsAlone ? "?bouts=false" : ""}`)).json();
    if (name !== this.video) return;
    if (!segmentsAlone) {
      if (found.number < this.number) { await this.reload(); return; } // an edit came in between
      this.number = found.number;
      this.bouts = new Map(found.bouts.map((bout) => [bout.name, bout]));
      this.sorted = null;
    }
    this.segments = found.segments;
    this.suggested = found.suggested;
    this.fps = found.fps;
    this.duration = found.duration;
    this.told.redrawn();
  }

  /** An edit, one after the other; resolves to the server's answer, or to null when it was refused, of which the person is told. */
  edit(path, values = {}, method = "POST") {
    const body = { ...values, token: token() };
    const made = this.queue.then(async () => {
      for (let tries = 0; ; tries += 1) {
        try {
          const answer = await (await ask(`/v1/project/${path}`, sent(method, { ...body, seen: this.number }))).json();
          this.take(answer);
          return answer;
        } catch (error) {
          if (error instanceof ServerError && error.status === 0 && tries < 4) {
            await new Promise((resolve) => { setTimeout(resolve, 400 * 2 ** tries); }); // the same token: it is made once
            continue;
          }
          if (error.status === 409 || error.status === 404) await this.reload().catch(() => undefined);
          this.told.refused(error);
          return null;
        }
      }
    });
    this.queue = made.catch(() => undefined);
    return made;
  }

  /** Bring what is shown to after an edit. */
  take(edit) {
    if (edit.number <= this.number) return;
    const missed = edit.number > this.number + 1;
    this.number = edit.number;
    this.undo = edit.undo;
    this.redo = edit.redo;
    for (const [key, after] of edit.changes) {
      const [room, name] = [key.slice(0, key.indexOf("/")), key.slice(key.indexOf("/") + 1)];
      if (room !== "bout") continue;
      if (after && after.video === this.video) this.bouts.set(name, { status: "confirmed", subject: "", by: "", ...after, name });
      else this.bouts.delete(name);
    }
    this.sorted = null;
    if (missed) this.reload().catch((error) => this.told.refused(error));
    this.told.changed("edit", edit);
    this.refreshSoon();
  }

  /** Hear of what other windows and the model do. */
  listen() {
    const events = new EventSource("/v1/project/events");
    events.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.kind === "edit") this.take(message);
      else if (message.kind === "redrawn" && message.video === this.video) this.reload({ segmentsAlone: true }).catch(() => undefined);
      if (message.kind !== "edit") this.refreshSoon();
      if (message.kind === "redrawn" && !message.video) this.told.changed("learned");
    };
    events.onopen = () => this.refreshSoon();
    events.onerror = () => this.told.changed("gone");
  }

  async json(path) { return (await ask(`/v1/project/${path}`)).json(); }

  async post(path, values) { return ask(`/v1/project/${path}`, sent("POST", values)); }
}
