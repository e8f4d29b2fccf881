"use strict";
// Shared by the pictures: the data, the theme's colours, and canvases at the screen's resolution.
const data = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

function theme(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

// The same as hue() in page.py: consecutive cluster numbers get distant hues.
function clusterColour(cluster) {
  return `hsl(${((cluster * 137.508) % 360).toFixed(1)} 58% ${theme("dot-light")})`;
}

// Colours between the three stops of the theme, from low to high.
function ramp(steps) {
  const stops = ["low", "middle", "high"].map((name) => {
    const hex = theme(name);
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  });
  return Array.from({ length: steps }, (_, step) => {
    const place = (2 * step) / (steps - 1), from = Math.min(1, Math.floor(place)), part = place - from;
    const mixed = stops[from].map((value, i) => Math.round(value + part * (stops[from + 1][i] - value)));
    return `rgb(${mixed.join(" ")})`;
  });
}

// Calls draw(context, size) now, and again when the size or the theme changes. A hidden canvas has no size yet.
function picture(canvas, draw) {
  const again = () => {
    const size = canvas.clientWidth, sharp = devicePixelRatio || 1;
    if (!size) return;
    canvas.width = canvas.height = Math.round(size * sharp);
    const context = canvas.getContext("2d");
    context.scale(sharp, sharp);
    draw(context, size);
  };
  new ResizeObserver(again).observe(canvas);
  dark.addEventListener("change", again);
  return again;
}
