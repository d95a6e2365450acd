// Times, shares, names: how values are written, and small helpers to build the page without markup strings.

export const clock = (seconds) => {
  const tenths = Math.round(Math.max(0, seconds) * 10);
  const minutes = Math.floor(tenths / 600);
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
};

export const percent = (share) => (share > 0.995 && share < 1 ? ">99 %" : `${Math.round(100 * share)} %`);

export const bytes = (count) => (count >= 1e9 ? `${(count / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(count / 1e6))} MB`);

export const spoken = (label) => label.replaceAll("_", " ");

export const stem = (name) => name.replace(/\.[^.]{1,5}$/, "") || "video";

/** Dark or light text, whichever is read better on a colour (relative luminance of WCAG 2). */
export const inkOn = (colour) => {
  const linear = [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.18 ? "#17181c" : "#ffffff";
};

export const byId = (id) => document.getElementById(id);

/** An element with classes ("li.item.first"), attributes or properties, and children. */
export const make = (kind, values = {}, ...children) => {
  const [tag, ...classes] = kind.split(".");
  const element = document.createElement(tag);
  element.classList.add(...classes);
  for (const [name, value] of Object.entries(values)) {
    if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

export const icon = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
};

/** A label with its -ing set off, since that is what this is about. */
export const gerundOf = (label) => {
  const text = spoken(label);
  const match = /^(.*\w)(ing)\b(.*)$/i.exec(text);
  return match ? make("span", {}, match[1], make("span.ing", {}, match[2]), match[3]) : make("span", {}, text);
};
