// Colours of terminals (ECMA-48, SGR) as spans; every other sequence is left out. The text goes in by textContent.

import { visible } from "./dom.js";

const SEQUENCE = /\u001b(?:\[([0-?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g;
const STEPS = [0, 95, 135, 175, 215, 255];

export function plain(text) {
  return visible(ended(text).replace(SEQUENCE, ""));
}

// A terminal ends its lines with CR and LF.
function ended(text) {
  return text.replace(/\r+$/, "");
}

export function spans(printed) {
  const text = ended(printed);
  const found = [];
  let style = {};
  let at = 0;
  const add = (piece) => {
    if (!piece) return;
    const span = document.createElement("span");
    span.textContent = visible(piece);
    dress(span, style);
    found.push(span);
  };
  for (const match of text.matchAll(SEQUENCE)) {
    add(text.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[2] === "m") style = changed(style, match[1]);
  }
  add(text.slice(at));
  return found;
}

function dress(span, style) {
  if (style.bold) span.classList.add("bold");
  if (style.dim) span.classList.add("dim");
  if (style.italic) span.classList.add("italic");
  if (style.underline) span.classList.add("underline");
  const [fore, back] = style.inverse ? [style.back, style.fore] : [style.fore, style.back];
  if (style.inverse) span.classList.add("inverse");
  paint(span, fore, "fore", "color");
  paint(span, back, "back", "background-color");
}

function paint(span, colour, kind, property) {
  if (typeof colour === "number") span.classList.add(`${kind}-${colour}`);
  else if (colour) span.style.setProperty(property, colour);
}

function changed(style, parameters) {
  const codes = parameters.split(";").flatMap(numbers);
  let next = { ...style };
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i];
    if (code === 0) next = {};
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 7) next.inverse = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code === 27) next.inverse = false;
    else if (code >= 30 && code <= 37) next.fore = code - 30;
    else if (code >= 90 && code <= 97) next.fore = code - 82;
    else if (code === 39) next.fore = undefined;
    else if (code >= 40 && code <= 47) next.back = code - 40;
    else if (code >= 100 && code <= 107) next.back = code - 92;
    else if (code === 49) next.back = undefined;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes.slice(i + 1));
      if (colour !== undefined) next[code === 38 ? "fore" : "back"] = colour;
      i += used;
    }
  }
  return next;
}

// One parameter; with colons it has parts of its own (ISO 8613-6): 38:2:SPACE:R:G:B, or without the space; 4:3 is a kind of 4.
function numbers(parameter) {
  const parts = parameter.split(":").map((word) => Number.parseInt(word || "0", 10));
  if (parts.length === 1) return parts;
  if (parts[0] === 4) return [parts[1] ? 4 : 24];
  if (parts[0] !== 38 && parts[0] !== 48) return [];
  return parts[1] === 2 ? [parts[0], 2, ...parts.slice(parts.length > 5 ? 3 : 2).slice(0, 3)] : parts.slice(0, 3);
}

function extended(codes) {
  const byte = (value) => Math.min(255, Math.max(0, value || 0));
  if (codes[0] === 2) return [`rgb(${byte(codes[1])}, ${byte(codes[2])}, ${byte(codes[3])})`, 4];
  if (codes[0] !== 5) return [undefined, codes.length];
  const number = byte(codes[1]);
  if (number < 16) return [number, 2];
  if (number > 231) return [`rgb(${[0, 0, 0].fill(8 + (number - 232) * 10).join(", ")})`, 2];
  const cube = number - 16;
  return [`rgb(${STEPS[Math.floor(cube / 36)]}, ${STEPS[Math.floor(cube / 6) % 6]}, ${STEPS[cube % 6]})`, 2];
}
