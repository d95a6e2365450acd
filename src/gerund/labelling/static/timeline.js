// The timeline on one canvas: pictures, your bouts, the model's bouts in the same hues, the axis and the playhead. Draws what is in sight.

import { byId, clock, inkOn, percent, spoken } from "../format.js";

const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const ROWS = { pictures: [0, 46], yours: [50, 46], model: [100, 40], axis: [142, 30] };
const GRIP = 6;
const LEAST_SPAN = 1;
const PICTURE = 82;

/** The first of things in order of time that starts at a time or after it. */
const firstFrom = (things, seconds) => {
  let [low, high] = [0, things.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (things[middle].start < seconds) low = middle + 1;
    else high = middle;
  }
  return low;
};

const PATIENCE = 600;

export class Timeline {
  constructor({ project, seek, select, moved }) {
    Object.assign(this, { project, seek, select, moved });
    this.board = byId("board");
    this.canvas = byId("canvas");
    this.left = 0;
    this.span = 1;
    this.width = 0;
    this.now = 0;
    this.pictures = new Map();
    this.loading = 0;
    this.board.addEventListener("pointerdown", (event) => this.press(event));
    this.board.addEventListener("pointermove", (event) => this.drag(event));
    this.board.addEventListener("pointerup", () => this.release());
    this.board.addEventListener("pointercancel", () => { this.grip = null; this.draw(); });
    this.board.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    byId("scroll").addEventListener("pointerdown", (event) => { byId("scroll").setPointerCapture(event.pointerId); this.scrollTo(event); });
    byId("scroll").addEventListener("pointermove", (event) => { if (event.buttons) this.scrollTo(event); });
    new ResizeObserver(() => this.draw()).observe(this.board);
  }

  /** Another video, `duration` seconds long. */
  show(name, duration) {
    this.name = name;
    this.duration = Math.max(duration, 0.1);
    this.left = 0;
    this.span = Math.min(this.duration, 120);
    this.pictures.clear();
    this.board.setAttribute("aria-valuemax", this.duration.toFixed(2));
    this.draw();
  }

  /** Where a time is; the width is as it was when the board was last painted, since asking for it lays the page out anew. */
  x(seconds) { return ((seconds - this.left) / this.span) * this.width; }

  at(event) {
    const box = this.board.getBoundingClientRect();
    return Math.min(Math.max(this.left + ((event.clientX - box.left) / box.width) * this.span, 0), this.duration);
  }

  zoom(factor, about = this.now) {
    const share = Math.min(Math.max((about - this.left) / this.span, 0), 1);
    this.span = Math.min(Math.max(this.span * factor, Math.min(LEAST_SPAN, this.duration)), this.duration);
    this.look(about - share * this.span);
  }

  look(left) {
    this.left = Math.min(Math.max(left, 0), this.duration - this.span);
    this.draw();
  }

  wheel(event) {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoom(1.0015 ** event.deltaY, this.at(event));
    } else if (this.span < this.duration && (event.deltaX || event.shiftKey)) {
      event.preventDefault();
      this.look(this.left + ((event.deltaX || event.deltaY) / this.board.clientWidth) * this.span);
    }
  }

  scrollTo(event) {
    const box = byId("scroll").getBoundingClientRect();
    this.look(((event.clientX - box.left) / box.width) * this.duration - this.span / 2);
  }

  /** The playhead moves; what is in sight follows it. */
  move(seconds) {
    this.now = seconds;
    if (!this.grip && this.span < this.duration && (seconds < this.left || seconds > this.left + 0.96 * this.span)) this.left = Math.min(Math.max(seconds - 0.1 * this.span, 0), this.duration - this.span);
    const bout = this.boutAt(seconds);
    this.board.setAttribute("aria-valuenow", seconds.toFixed(2));
    this.board.setAttribute("aria-valuetext", bout ? `${clock(seconds)}, ${spoken(this.project.label(bout.label)?.text ?? "")}` : clock(seconds));
    this.draw();
  }

  /** The bout at a time: of several, the one of a subject (at first, of whom new bouts show). */
  boutAt(seconds, subject = this.subject) {
    const { bouts, longest } = this.project.drawn;
    let found;
    for (let place = firstFrom(bouts, seconds - longest - 1e-3); place < bouts.length && bouts[place].start <= seconds + 1e-3; place += 1) {
      const bout = bouts[place];
      if (seconds < bout.end - 1e-3 && (!found || bout.subject === subject)) found = bout;
    }
    return found;
  }

  segmentAt(seconds) {
    const { segments } = this.project;
    const place = firstFrom(segments, seconds + 1e-3) - 1;
    return place >= 0 && seconds < segments[place].end - 1e-3 ? segments[place] : undefined;
  }

  /** Where the bouts of a subject are drawn: [top, height]; each has a lane of its own where there are several. */
  lane(subject) {
    const [top, high] = ROWS.yours;
    const { subjects } = this.project.drawn;
    if (subjects.length < 2) return [top, high];
    const each = high / subjects.length;
    return [top + each * subjects.indexOf(subject), each - 1];
  }

  subjectAt(event) {
    const { subjects } = this.project.drawn;
    const [top, high] = ROWS.yours;
    const y = event.clientY - this.board.getBoundingClientRect().top;
    return subjects[Math.min(Math.max(Math.floor(((y - top) / high) * subjects.length), 0), subjects.length - 1)];
  }

  /** The border of one of your bouts under a pointer. */
  borderAt(event) {
    const y = event.clientY - this.board.getBoundingClientRect().top;
    if (y < ROWS.yours[0] || y > ROWS.yours[0] + ROWS.yours[1]) return null;
    const x = event.clientX - this.board.getBoundingClientRect().left;
    let best = null;
    const { bouts, longest } = this.project.drawn;
    const subject = this.subjectAt(event);
    for (let place = firstFrom(bouts, this.left - longest); place < bouts.length && bouts[place].start <= this.left + this.span; place += 1) {
      const bout = bouts[place];
      if (bout.subject !== subject) continue;
      for (const side of ["start", "end"]) {
        const far = Math.abs(this.x(bout[side]) - x);
        if (far <= GRIP && (!best || far < best.far || (far === best.far && bout.name === this.selected))) best = { bout, side, far };
      }
    }
    return best;
  }

  press(event) {
    if (event.button || !this.duration) return;
    this.board.setPointerCapture(event.pointerId);
    const border = this.borderAt(event);
    if (border) {
      this.grip = { ...border, to: border.bout[border.side] };
      this.select(border.bout.name);
      return;
    }
    this.grip = { seeking: true };
    this.seek(this.at(event));
    const y = event.clientY - this.board.getBoundingClientRect().top;
    const hit = y >= ROWS.yours[0] && y < ROWS.yours[0] + ROWS.yours[1] ? this.boutAt(this.at(event), this.subjectAt(event)) : null;
    this.select(hit?.name ?? null);
  }

  drag(event) {
    if (!this.grip) {
      const border = this.borderAt(event);
      this.board.dataset.grip = border ? "border" : "";
      return;
    }
    const seconds = this.at(event);
    if (this.grip.seeking) this.seek(seconds);
    else {
      const { bout, side } = this.grip;
      this.grip.to = side === "start" ? Math.min(seconds, bout.end - 0.04) : Math.max(seconds, bout.start + 0.04);
      this.seek(this.grip.to);
    }
  }

  release() {
    const grip = this.grip;
    this.grip = null;
    if (grip?.bout && Math.abs(grip.to - grip.bout[grip.side]) > 1e-3) this.moved(grip.bout.name, grip.side, grip.to);
    this.draw();
  }

  /** Draw once before the next picture of the screen, however often it is asked for. */
  draw() {
    this.pending ??= requestAnimationFrame(() => { this.pending = null; this.paint(); });
  }

  /** Colours and letters of the theme, asked for once: each question makes the browser work out the page's style. */
  styles() {
    const style = getComputedStyle(document.documentElement);
    const found = Object.fromEntries(["ink", "card", "dim", "line", "accent"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    return { ...found, font: getComputedStyle(document.body).fontFamily };
  }

  /** Another theme. */
  restyle() { this.colours = null; this.draw(); }

  paint() {
    const scale = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.board;
    this.width = width;
    if (!width || !this.duration) return;
    if (this.canvas.width !== Math.round(width * scale)) this.canvas.width = Math.round(width * scale);
    if (this.canvas.height !== Math.round(height * scale)) this.canvas.height = Math.round(height * scale);
    const pen = this.canvas.getContext("2d");
    this.colours ??= this.styles();
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `600 12.5px ${this.colours.font}`;
    pen.textBaseline = "middle";
    this.paintPictures(pen, width);
    this.paintModel(pen, width);
    const { bouts, longest } = this.project.drawn;
    this.paintRow(pen, bouts, longest, (bout) => this.lane(bout.subject), false);
    this.paintLanes(pen);
    this.paintBegun(pen);
    this.paintAxis(pen, width);
    this.paintNames(pen);
    this.paintHead(pen);
    const bar = byId("scroll").firstElementChild;
    bar.style.left = `${(100 * this.left) / this.duration}%`;
    bar.style.width = `${(100 * this.span) / this.duration}%`;
  }

  /** The model's row; while a new one is made, the old one stands there faint and hatched, and says so. */
  paintModel(pen, width) {
    const { segments } = this.project;
    const isOld = this.isOld();
    pen.save();
    if (isOld) pen.globalAlpha = 0.5;
    this.faint = isOld ? 0.45 : 1;
    this.paintRow(pen, segments, segments.reduce((most, each) => Math.max(most, each.end - each.start), 0), () => ROWS.model, true);
    pen.restore();
    if (!isOld) return;
    const [top, high] = ROWS.model;
    pen.save();
    pen.beginPath();
    pen.rect(0, top, width, high);
    pen.clip();
    pen.strokeStyle = this.colours.dim;
    pen.globalAlpha = 0.35;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let x = -high; x < width; x += 9) { pen.moveTo(x, top + high); pen.lineTo(x + high, top); }
    pen.stroke();
    pen.globalAlpha = 1;
    const text = "being made anew";
    const wide = pen.measureText(text).width + 16;
    pen.fillStyle = this.colours.card;
    pen.beginPath();
    pen.roundRect(width - wide - 8, top + high / 2 - 11, wide, 22, 11);
    pen.fill();
    pen.fillStyle = this.colours.ink;
    pen.fillText(text, width - wide, top + high / 2 + 0.5);
    pen.restore();
  }

  /** Whether the model's row is from before the last edit, for longer than it takes as a rule. */
  isOld() {
    const { project } = this;
    const isBehind = project.learned && project.suggested !== null && project.suggested < project.number;
    if (!isBehind) { this.behind = null; return false; }
    if (!this.behind) {
      this.behind = performance.now();
      setTimeout(() => this.draw(), PATIENCE + 20);
    }
    return performance.now() - this.behind > PATIENCE;
  }

  /** Whose lane is whose. */
  paintLanes(pen) {
    const { subjects } = this.project.drawn;
    if (subjects.length < 2) return;
    pen.font = `600 10px ${this.colours.font}`;
    for (const subject of subjects) {
      const [top, high] = this.lane(subject);
      const text = subject || "–";
      const wide = pen.measureText(text).width + 10;
      pen.fillStyle = this.colours.card;
      pen.globalAlpha = 0.85;
      const left = this.width - wide;
      pen.fillRect(left, top + high / 2 - 7, wide, 14);
      pen.globalAlpha = 1;
      pen.fillStyle = this.colours.ink;
      pen.fillText(text, left + 5, top + high / 2 + 0.5);
    }
    pen.font = `600 12.5px ${this.colours.font}`;
  }

  /** Bouts or segments in order of their starts, none longer than `longest`; those of several on one point of the screen once. */
  paintRow(pen, things, longest, placeOf, isModel) {
    const end = this.left + this.span;
    let [drawnTo, lastTop] = [-Infinity, null];
    for (let place = firstFrom(things, this.left - longest); place < things.length && things[place].start < end; place += 1) {
      const each = things[place];
      if (each.end < this.left) continue;
      const [top, high] = placeOf(each);
      if (top !== lastTop) drawnTo = -Infinity;
      lastTop = top;
      if (this.x(each.end) < drawnTo && each.name !== this.selected) continue;
      let [from, to] = [each.start, each.end];
      if (this.grip?.bout?.name === each.name && !isModel) [from, to] = this.grip.side === "start" ? [this.grip.to, to] : [from, this.grip.to];
      const label = this.project.label(each.label);
      if (!label) continue;
      const [x, right] = [this.x(from), this.x(to)];
      const wide = Math.max(right - x, 1.5);
      drawnTo = Math.max(drawnTo, Math.floor(x) + 1);
      pen.globalAlpha = isModel ? (0.18 + 0.62 * Math.max(0, (each.score - 0.3) / 0.7)) * this.faint : each.status === "suggested" ? 0.4 : 1;
      pen.fillStyle = label.colour;
      if (wide <= 8) pen.fillRect(x + 0.5, top, wide > 4 ? wide - 1 : wide, high);
      else {
        pen.beginPath();
        pen.roundRect(x + 0.5, top, wide - 1, high, 5);
        pen.fill();
      }
      pen.globalAlpha = 1;
      if (!isModel && each.name === this.selected) {
        pen.strokeStyle = this.colours.ink;
        pen.lineWidth = 2.5;
        pen.strokeRect(x + 1.5, top + 1, Math.max(wide - 3, 1), high - 2);
      }
      if (wide > 34 && high > 13) this.paintText(pen, label, each, Math.max(x, 0) + 8, Math.min(right, this.width) - 6, top + high / 2, isModel);
    }
  }

  paintText(pen, label, each, left, right, middle, isModel) {
    pen.fillStyle = isModel ? this.colours.ink : inkOn(label.colour);
    const name = `${label.key && !isModel ? `${label.key}  ` : ""}${label.name === "nothing" ? "nothing" : spoken(label.text)}`;
    const sure = `${name}  ${percent(each.score ?? 1)}`;
    const text = isModel && pen.measureText(sure).width <= right - left ? sure : name;
    pen.save();
    pen.beginPath();
    pen.rect(left - 4, middle - 14, Math.max(right - left + 4, 0), 28);
    pen.clip();
    pen.fillText(text, left, middle);
    pen.restore();
  }

  /** What has begun and not ended yet grows with the playhead. */
  paintBegun(pen) {
    if (!this.begun) return;
    const label = this.project.label(this.begun.label);
    if (!label) return;
    const [x, right] = [this.begun.start, this.now].map((seconds) => this.x(seconds)).sort((one, other) => one - other);
    pen.globalAlpha = 0.55;
    pen.fillStyle = label.colour;
    pen.fillRect(x, ROWS.yours[0], Math.max(right - x, 2), ROWS.yours[1]);
    pen.globalAlpha = 1;
    pen.strokeStyle = this.colours.ink;
    pen.lineWidth = 1.5;
    pen.setLineDash([4, 3]);
    pen.strokeRect(x, ROWS.yours[0] + 1, Math.max(right - x, 2), ROWS.yours[1] - 2);
    pen.setLineDash([]);
  }

  paintAxis(pen, width) {
    const [top] = ROWS.axis;
    const step = TICKS.find((each) => (each / this.span) * width > 72) ?? 3600;
    pen.fillStyle = this.colours.dim;
    pen.font = `11px ${this.colours.font}`;
    for (let tick = Math.ceil(this.left / step); tick * step <= this.left + this.span; tick += 1) {
      const x = this.x(tick * step);
      pen.fillRect(x, top, 1, 5);
      const text = clock(tick * step).replace(/\.0$/, "");
      const wide = pen.measureText(text).width;
      pen.fillText(text, Math.min(Math.max(x - wide / 2, 2), width - wide - 2), top + 17);
    }
  }

  /** What the rows are, while they are empty. */
  paintNames(pen) {
    pen.font = `500 12px ${this.colours.font}`;
    pen.fillStyle = this.colours.dim;
    if (!this.project.inOrder.length && !this.begun) pen.fillText("your bouts", 10, ROWS.yours[0] + ROWS.yours[1] / 2);
    if (!this.project.segments.length) pen.fillText("the model’s, as soon as two labels have a bout each", 10, ROWS.model[0] + ROWS.model[1] / 2);
  }

  paintHead(pen) {
    const x = this.x(this.now);
    const foot = ROWS.axis[0] + 4;
    pen.fillStyle = this.colours.card;
    pen.fillRect(x - 2.5, 0, 5, foot);
    pen.fillStyle = this.colours.ink;
    pen.fillRect(x - 1, 0, 2, foot);
    pen.beginPath();
    pen.moveTo(x - 6, 0);
    pen.lineTo(x + 6, 0);
    pen.lineTo(x, 8);
    pen.fill();
  }

  paintPictures(pen, width) {
    const [top, high] = ROWS.pictures;
    const seconds = 2 ** Math.round(Math.log2((PICTURE / width) * this.span));
    const first = Math.floor(this.left / seconds);
    for (let tile = first; tile * seconds < this.left + this.span && tile < first + 80; tile += 1) {
      const middle = Math.min((tile + 0.5) * seconds, this.duration - 0.05);
      const picture = this.picture(Math.max(middle, 0));
      const [x, right] = [this.x(tile * seconds), this.x((tile + 1) * seconds)];
      if (!picture.naturalWidth) continue;
      const scale = Math.max((right - x) / picture.naturalWidth, high / picture.naturalHeight);
      const [cutWide, cutHigh] = [(right - x) / scale, high / scale];
      pen.drawImage(picture, (picture.naturalWidth - cutWide) / 2, (picture.naturalHeight - cutHigh) / 2, cutWide, cutHigh, x, top, right - x - 1, high);
    }
  }

  /** A picture of the video, asked for when it is first in sight; a few at once. */
  picture(seconds) {
    const key = `${this.name}@${seconds.toFixed(2)}`;
    let picture = this.pictures.get(key);
    if (!picture) {
      picture = new Image();
      this.pictures.set(key, picture);
    }
    if (!picture.src && this.loading < 4) {
      this.loading += 1;
      picture.onload = picture.onerror = () => { this.loading -= 1; this.draw(); };
      picture.src = `/v1/project/videos/${this.name}/picture?at=${seconds.toFixed(2)}`;
    }
    return picture;
  }
}
