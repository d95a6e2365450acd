// The review: one question after the other, each played in a loop, answered with a key, a click or a thumb.

import { byId, clock, icon, make, percent, spoken } from "../format.js";
import { swatch } from "./panels.js";

const NEW_EVERY = 8;

export class Review {
  constructor({ project, open, play, stop, changed }) {
    Object.assign(this, { project, open, play, stop, changed });
    this.active = false;
    this.question = null;
    this.skipped = new Set();
    this.answered = 0;
  }

  key(question) { return `${question.video} ${question.label} ${question.start.toFixed(1)} ${question.end.toFixed(1)}`; }

  async begin() {
    this.active = true;
    this.answered = 0;
    this.skipped.clear();
    await this.next();
  }

  end() {
    this.active = false;
    this.question = null;
    this.stop();
    this.draw();
    this.changed();
  }

  async next() {
    const found = await this.project.json("review?count=40");
    const open = found.filter((each) => !this.skipped.has(this.key(each)));
    const isTurnOfNew = this.answered % NEW_EVERY === NEW_EVERY - 1; // the queue is asked for anew after each answer
    this.question = (isTurnOfNew ? open.find((each) => each.why === "new") : open.find((each) => each.why !== "new")) ?? open[0] ?? null;
    if (this.question) {
      await this.open(this.question.video);
      if (this.question) this.play(this.question.start, this.question.end);
    } else this.stop();
    this.draw();
    this.changed();
  }

  /** An answer: `right`, `not`, `skip`, or the label that it is. */
  async answer(what) {
    const asked = this.question;
    if (!asked || this.busy) return;
    this.busy = true;
    try {
      this.skipped.add(this.key(asked));
      if (what !== "skip") {
        const { video, label, start, end, bout } = asked;
        const chosen = what === "right" ? label : what;
        if (what === "not") await this.project.edit("rejections", { video, label, start, end });
        else if (bout) await this.project.edit(`bouts/${bout}`, { label: chosen }, "PATCH");
        else await this.project.edit("bouts", { video, label: chosen, start, end });
        this.answered += 1;
        await this.learned(); // what was just said may change what is asked next
      }
      await this.next();
    } finally {
      this.busy = false;
    }
  }

  learned() {
    return new Promise((resolve) => {
      const late = setTimeout(resolve, 700);
      this.heard = () => { clearTimeout(late); resolve(); };
    });
  }

  /** The model knows more: an answer is waiting for that, or there was nothing left to ask. */
  learnt() {
    this.heard?.();
    if (this.active && !this.question && !this.busy) this.next().catch(() => undefined);
  }

  draw() {
    document.body.toggleAttribute("data-reviewing", this.active);
    const panel = byId("panel-review");
    const { project, question } = this;
    if (!this.active) {
      panel.replaceChildren(
        make("h2", {}, "Review"),
        make("p", {}, project.learned ? "Let the model ask: where it is least sure, and where it doubts what you said. An answer there teaches it more than a label anywhere else." : `As soon as two labels have a ${project.clips ? "clip" : "bout"} each, the model starts to learn, and asks here what would teach it most.`),
        make("div.row-actions", {},
          make("button.primary", { type: "button", disabled: !project.learned, onclick: () => this.begin() }, "Start", make("kbd", {}, "R")),
          make("button.plain", { type: "button", disabled: !project.learned, id: "many-open" }, icon("grid"), "Accept many")));
      return;
    }
    if (!question) {
      panel.replaceChildren(make("h2", {}, "Review"), make("p.question", {}, "Nothing left to ask"), make("p.none", {}, this.answered ? `${this.answered} answered. See how good it is, or label what it has not seen yet.` : "All that the model has found is labelled. See how good it is."), make("div.row-actions", {}, make("button.plain", { type: "button", onclick: () => this.end() }, "Done")));
      return;
    }
    const label = project.label(question.label);
    const video = project.videos.find((each) => each.name === question.video);
    if (!label) { this.next(); return; }
    const doubt = question.why === "doubt";
    const said = doubt ? project.label(project.bouts.get(question.bout)?.label) : null;
    const others = project.labels.filter((each) => each.name !== label.name);
    panel.replaceChildren(
      make("h2", {}, `Review${this.answered ? ` · ${this.answered} answered` : ""}`),
      make("p.question", {}, doubt ? "Is this rather" : "Is this", swatch(label), `${label.name === "nothing" ? "nothing" : spoken(label.text)}?`),
      make("p.small", {}, doubt && said ? `You said ${spoken(said.text)}. ` : question.why === "new" ? "Unlike all that you have labelled. " : "", `${video?.title ?? ""} · ${clock(question.start)} – ${clock(question.end)} · ${percent(question.score)} sure`),
      make("div.answer-keys", {},
        make("button.yes", { type: "button", onclick: () => this.answer("right") }, doubt ? "Yes, change it" : "Right", make("kbd", {}, "Enter")),
        make("button", { type: "button", onclick: () => this.answer("not") }, doubt ? "No, I was right" : "Not this", make("kbd", {}, "N")),
        make("button", { type: "button", onclick: () => this.answer("skip") }, "Skip", make("kbd", {}, "S"))),
      make("h3", {}, "It is something else"),
      make("div.others", {}, ...others.map((each) => make("button", { type: "button", onclick: () => this.answer(each.name) }, each.key ? make("kbd", {}, each.key) : null, swatch(each), each.name === "nothing" ? "nothing here" : spoken(each.text)))),
      make("div.row-actions", {}, make("button.plain.small-button", { type: "button", onclick: () => this.end() }, "Leave the review", make("kbd", {}, "R"))),
    );
  }
}

const PLAYING = 12;

/** Spans that play side by side, each again and again; a small copy where the browser cannot play the file. `pick` is what a press does. */
const playing = (spans, { name, caption, pick }) => spans.slice(0, PLAYING).map((each) => {
  const film = make("video", { playsinline: true, preload: "metadata", src: `/v1/project/videos/${each.video}/media`, "aria-label": name(each) });
  film.muted = true;
  film.addEventListener("loadedmetadata", () => { film.currentTime = each.start; film.play().catch(() => undefined); });
  film.addEventListener("timeupdate", () => { if (film.currentTime >= each.end || film.currentTime < each.start - 0.3) film.currentTime = each.start; });
  film.addEventListener("error", () => { film.src = `/v1/project/videos/${each.video}/copy.mp4`; }, { once: true });
  return make("figure", {}, film, make("figcaption", {}, caption(each)), pick ? make("button.open", { type: "button", "aria-label": `Go to ${name(each)}`, onclick: () => pick(each) }) : null);
});

/** Bouts that somebody wants to look at together, such as those of a cell of the table of mistakes. */
export class Together {
  constructor({ project, go }) {
    this.project = project;
    byId("together-close").addEventListener("click", () => byId("together").close());
    byId("together").addEventListener("close", () => byId("together-grid").replaceChildren());
    this.go = (bout) => { byId("together").close(); go(bout); };
  }

  async open(title, names) {
    const bouts = await this.project.json(`bouts?${new URLSearchParams(names.slice(0, PLAYING).map((name) => ["name", name]))}`);
    byId("together-title").textContent = title;
    byId("together-note").textContent = names.length > PLAYING ? `${PLAYING} of ${names.length}. Press one to go there.` : "Press one to go there.";
    const titleOf = (bout) => this.project.videos.find((video) => video.name === bout.video)?.title ?? "";
    byId("together-grid").replaceChildren(...playing(bouts, { name: (bout) => `${titleOf(bout)}, ${clock(bout.start)}`, caption: (bout) => `${titleOf(bout)} ${clock(bout.start)}`, pick: this.go }));
    byId("together").showModal();
  }
}

/** Accept all of one label that the model is sure enough of, after a look at them playing. */
export class Many {
  constructor({ project }) {
    this.project = project;
    byId("many-score").addEventListener("input", () => this.show());
    byId("many-cancel").addEventListener("click", () => byId("many").close());
    byId("many").addEventListener("close", () => byId("many-grid").replaceChildren());
    byId("many-ok").addEventListener("click", async () => {
      byId("many").close();
      await this.project.edit("acceptances", { label: this.label.name, score: Number(byId("many-score").value) });
    });
  }

  async open() {
    const labels = this.project.labels;
    const found = await Promise.all(labels.map((label) => this.project.json(`candidates?label=${label.name}`)));
    this.found = new Map(labels.map((label, place) => [label.name, found[place]]));
    const most = [...labels].sort((one, other) => this.found.get(other.name).length - this.found.get(one.name).length)[0];
    if (!most || !this.found.get(most.name).length) throw new Error("Nothing to accept: all that the model has found is judged already.");
    this.label = most;
    byId("many").showModal();
    this.show();
  }

  show() {
    const score = Number(byId("many-score").value);
    const chosen = this.found.get(this.label.name).filter((each) => each.score >= score);
    const some = this.project.labels.filter((label) => this.found.get(label.name).length);
    byId("many-note").replaceChildren(make("span.others", {}, ...some.map((label) => make("button", { type: "button", "aria-pressed": String(label === this.label), onclick: () => { this.label = label; this.show(); } }, swatch(label), spoken(label.text), ` ${this.found.get(label.name).length}`))));
    byId("many-shown").textContent = percent(score);
    byId("many-title").textContent = `Accept many: ${spoken(this.label.text)}`;
    byId("many-ok").textContent = `Accept all ${chosen.length}`;
    byId("many-ok").disabled = !chosen.length;
    byId("many-few").textContent = chosen.length > PLAYING ? `The ${PLAYING} least sure of ${chosen.length} are playing: if these are right, the others are too.` : chosen.length ? "" : "The model is this sure of none; move the slider to the left.";
    byId("many-grid").replaceChildren(...playing(chosen, { name: (each) => `${spoken(this.label.text)}, ${clock(each.start)}`, caption: (each) => percent(each.score) }));
  }
}
