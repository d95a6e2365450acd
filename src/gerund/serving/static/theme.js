// Light, dark, or as the system is: chosen with a button, and remembered.

import { byId } from "./format.js";

const THEMES = { system: "as the system", light: "light", dark: "dark" };

/** Make the button work; `changed` hears of every change. */
export const themed = (changed) => {
  const night = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => (localStorage.getItem("gerund-theme") in THEMES ? localStorage.getItem("gerund-theme") : "system");
  const show = (name) => {
    localStorage.setItem("gerund-theme", name);
    document.documentElement.dataset.theme = name === "system" ? (night.matches ? "dark" : "light") : name;
    byId("theme").setAttribute("aria-label", `Theme: ${THEMES[name]}`);
    byId("theme").title = `Theme: ${THEMES[name]}`;
    changed();
  };
  byId("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    show(names[(names.indexOf(chosen()) + 1) % names.length]);
  });
  night.addEventListener("change", () => show(chosen()));
  show(chosen());
};
