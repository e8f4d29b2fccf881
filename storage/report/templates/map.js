// The corpus map: points by layout and colour, highlighting of one cluster, and a tooltip at the pointer.
if (data.map) (() => {
  const canvas = document.getElementById("map-canvas"), tip = document.getElementById("map-tip");
  const legend = document.getElementById("map-legend"), dots = [...document.querySelectorAll(".dot")];
  const layouts = Object.fromEntries(Object.entries(data.map.layouts).map(([name, axes]) => [name, axes.map(unit)]));
  const cluster = sixteen(data.map.cluster), kept = bytes(data.map.kept);
  const damage = data.map.damage ? bytes(data.map.damage) : null;
  const n = kept.length, margin = 10;
  const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value || Object.keys(layouts)[0];
  let shown = null;

  const place = (size) => {
    const [x, y] = layouts[chosen("layout")];
    return { x: (i) => margin + x[i] * (size - 2 * margin), y: (i) => size - margin - y[i] * (size - 2 * margin) };
  };

  // Rows grouped by colour, since changing the fill style is slow; kept rows last, so that they are drawn on top.
  function brushes() {
    const by = chosen("colour"), groups = new Map();
    const colours = by === "damage" ? ramp(16) : null;
    for (let i = 0; i < n; i++) {
      const key = by === "cluster" ? cluster[i] : by === "damage" ? damage[i] >> 4 : kept[i];
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(i);
    }
    return [...groups].sort((a, b) => a[0] - b[0]).map(([key, rows]) => ({
      rows,
      colour: by === "cluster" ? clusterColour(key) : by === "damage" ? colours[key] : theme(key ? "kept" : "rest"),
    }));
  }

  const again = picture(canvas, (context, size) => {
    const at = place(size), radius = Math.max(0.9, Math.min(3.2, (0.34 * size) / Math.sqrt(n)));
    context.clearRect(0, 0, size, size);
    for (const { rows, colour } of brushes()) {
      context.fillStyle = colour;
      for (const forward of [false, true]) {
        context.globalAlpha = forward ? 0.9 : 0.12;
        context.beginPath();
        for (const i of rows) {
          if ((shown === null || cluster[i] === shown) !== forward) continue;
          context.moveTo(at.x(i) + radius, at.y(i));
          context.arc(at.x(i), at.y(i), radius, 0, 2 * Math.PI);
        }
        context.fill();
      }
    }
    context.globalAlpha = 1;
  });

  function updateLegend() {
    const by = chosen("colour");
    const key = (kind, text) => {
      const mark = document.createElement("span");
      mark.className = kind === "ramp" ? kind : "key " + kind;
      legend.append(mark, text);
    };
    legend.textContent = "";
    if (by === "kept") { key("rest", " not kept"); key("kept", " kept"); }
    if (by === "damage") { legend.append("undamaged"); key("ramp", `${data.map.most.toPrecision(2)} nats or more`); }
    if (by === "cluster") legend.append("The dots in the table of clusters are the legend; press one to highlight its cluster.");
  }

  function nearest(event) {
    const box = canvas.getBoundingClientRect(), size = canvas.clientWidth, at = place(size);
    const px = event.clientX - box.left, py = event.clientY - box.top;
    let best = -1, distance = 14 * 14;
    for (let i = 0; i < n; i++) {
      const away = (at.x(i) - px) ** 2 + (at.y(i) - py) ** 2;
      if (away < distance) { distance = away; best = i; }
    }
    return { best, px, py, size };
  }

  canvas.addEventListener("pointermove", (event) => {
    const { best, px, py, size } = nearest(event);
    tip.hidden = best < 0;
    if (best < 0) return;
    tip.textContent = `${kept[best] ? "kept" : "not kept"} · ${data.clusters[cluster[best]] || "cluster " + cluster[best]}`;
    tip.style.left = Math.min(px + 12, size - Math.min(250, size / 2)) + "px";
    tip.style.top = py + 14 + "px";
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  for (const input of document.querySelectorAll("input[name=colour], input[name=layout]")) {
    input.addEventListener("change", () => { updateLegend(); again(); });
  }
  for (const dot of dots) {
    dot.addEventListener("click", () => {
      const which = Number(dot.dataset.cluster);
      shown = shown === which ? null : which;
      for (const other of dots) other.setAttribute("aria-pressed", String(Number(other.dataset.cluster) === shown));
      again();
    });
  }
  updateLegend();
})();
