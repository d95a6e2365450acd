// What each key does. A key that is typed into a field is the field's.

const plain = (event) => !event.ctrlKey && !event.metaKey && !event.altKey;

/** Digits by where the key is, so that Shift+1 is 1 on every keyboard. */
const digit = (event) => (/^(Digit|Numpad)\d$/.test(event.code) ? event.code.at(-1) : /^\d$/.test(event.key) ? event.key : null);

export const listenToKeys = (actions, review, grid) => {
  const always = {
    " ": () => actions.toggle(), k: () => actions.toggle(), j: () => actions.shuttle(false), l: () => actions.shuttle(true),
    ArrowLeft: (event) => actions.step(-1, event.shiftKey), ArrowRight: (event) => actions.step(1, event.shiftKey),
    Home: () => actions.seek(0), End: () => actions.seek(Infinity), "+": () => actions.zoom(0.6), "=": () => actions.zoom(0.6), "-": () => actions.zoom(1 / 0.6),
    "?": () => actions.help(), r: () => actions.review(), PageUp: () => actions.video(-1), PageDown: () => actions.video(1),
    "[": () => actions.border("start"), "]": () => actions.border("end"),
  };
  const labelling = {
    Enter: () => actions.accept(), Delete: () => actions.remove(), Backspace: () => actions.remove(), Escape: () => actions.cancel(),
    ",": () => actions.bout(-1), ".": () => actions.bout(1), x: () => actions.split(), w: () => actions.who(), m: () => actions.merge(),
  };
  const reviewing = { Enter: () => review.answer("right"), n: () => review.answer("not"), s: () => review.answer("skip"), Escape: () => review.end() };
  const forFilms = new Set(["j", "l", "[", "]", "+", "=", "-"]);
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (target.closest("#subject") && ["Enter", "Escape"].includes(event.key)) { event.preventDefault(); target.blur(); return; }
    if (target.closest("input, textarea, select, dialog")) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      actions.undo(event.shiftKey);
      return;
    }
    if (!plain(event)) return;
    const isButton = target.closest("button, a, [role=tab]");
    const inGrid = document.body.dataset.kind === "clips" && !review.active;
    if (isButton && [" ", "Enter"].includes(event.key) && !(inGrid && target.closest(".clip"))) return;
    if (target.closest("[role=tab]") && /^(Arrow|Home|End)/.test(event.key)) return;
    const number = digit(event);
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = number !== null ? () => actions.digit(number, event.shiftKey) : (review.active ? reviewing[key] : inGrid ? grid.key(key) : labelling[key]) ?? (inGrid && forFilms.has(key) ? null : always[key]);
    if (!action) return;
    event.preventDefault();
    action(event);
  });
};
