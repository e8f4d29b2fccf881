// Pointer and keys on the map: hover, press, drag, lasso, zoom, and the arrows from row to row.
if (map) (() => {
  const { canvas, lasso } = map, tip = document.getElementById("map-tip");
  let start = null, moved = false;

  const here = (event) => {
    const box = canvas.getBoundingClientRect();
    return { px: event.clientX - box.left, py: event.clientY - box.top, size: canvas.clientWidth };
  };

  function nearest(px, py, size, reach = 14) {
    const at = screenOf(size), [x, y] = map.layout();
    let best = -1, distance = reach * reach;
    for (let i = 0; i < rows.n; i++) {
      if (!matching[i]) continue;
      const away = (at.x(x[i]) - px) ** 2 + (at.y(y[i]) - py) ** 2;
      if (away < distance) { distance = away; best = i; }
    }
    return best;
  }

  function hover({ px, py, size }) {
    const row = nearest(px, py, size), prompt = texts.get(row)?.prompt || rows.id[row];
    tip.hidden = row < 0;
    if (row < 0) return;
    tip.textContent = `${rows.kept[row] ? "kept" : "not kept: " + rows.reason[row]} · ${nameOf(row) || "cluster " + clusterOf(row)}`;
    tip.append(document.createElement("br"), prompt.length > 140 ? prompt.slice(0, 139) + "…" : prompt);
    tip.style.left = Math.max(0, Math.min(px + 12, size - 260)) + "px";
    tip.style.top = py + 16 + "px";
    card.show(row, false);
  }

  // Even–odd rule: a ray from an inside point crosses the line an odd number of times.
  function inside(x, y) {
    let odd = false;
    for (let i = 0, j = lasso.length - 1; i < lasso.length; j = i++) {
      const [xi, yi] = lasso[i], [xj, yj] = lasso[j];
      if (yi > y !== yj > y && x < (xj - xi) * (y - yi) / (yj - yi) + xi) odd = !odd;
    }
    return odd;
  }

  function pick() {
    const [x, y] = map.layout(), found = new Set();
    for (let i = 0; i < rows.n; i++) if (inside(x[i], y[i])) found.add(i);
    lasso.length = 0;
    update({ picked: found.size ? found : null });
  }

  const touch = () => { canvas.style.touchAction = map.drag() === "lasso" || view.scale > 1 ? "none" : "pan-y"; };
  const enlarge = (factor, x, y) => { zoom(factor, x, y); touch(); map.draw(); };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    start = { ...here(event), x: view.x, y: view.y, lasso: event.shiftKey || map.drag() === "lasso" };
    moved = false;
    lasso.length = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = here(event), at = screenOf(now.size);
    if (!start) { if (event.pointerType !== "touch") hover(now); return; }
    moved ||= Math.hypot(now.px - start.px, now.py - start.py) > 4;
    if (!moved) return;
    tip.hidden = true;
    if (start.lasso) {
      if (!lasso.length) lasso.push([at.unitX(start.px), at.unitY(start.py)]);
      lasso.push([at.unitX(now.px), at.unitY(now.py)]);
    } else {
      const side = (now.size - 2 * MARGIN) * view.scale;
      look(view.scale, start.x - (now.px - start.px) / side, start.y + (now.py - start.py) / side);
    }
    map.draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!start) return;
    const { px, py, size } = here(event);
    if (moved && start.lasso) pick();
    else if (!moved) card.show(nearest(px, py, size, event.pointerType === "touch" ? 28 : 14), true);
    start = null;
  });
  canvas.addEventListener("pointercancel", () => { start = null; lasso.length = 0; map.draw(); });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; card.back(); });
  canvas.addEventListener("wheel", (event) => {
    // Without a key the wheel scrolls the page; pinching a trackpad reports the key.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const { px, py, size } = here(event), at = screenOf(size);
    enlarge(Math.exp(-event.deltaY * 0.004), at.unitX(px), at.unitY(py));
  }, { passive: false });

  // The nearest row in one direction, within 45 degrees of it.
  function neighbour(dx, dy) {
    const [x, y] = map.layout(), from = filter.shown;
    if (from < 0) return nearest(canvas.clientWidth / 2, canvas.clientWidth / 2, canvas.clientWidth, Infinity);
    let best = from, distance = Infinity;
    for (let i = 0; i < rows.n; i++) {
      const along = (x[i] - x[from]) * dx + (y[i] - y[from]) * dy;
      const across = Math.abs((x[i] - x[from]) * dy) + Math.abs((y[i] - y[from]) * dx);
      if (matching[i] && along > 0 && across <= along && along + across < distance) { distance = along + across; best = i; }
    }
    return best;
  }

  function goTo(row) {
    if (row < 0) return;
    const [x, y] = map.layout(), half = 0.46 / view.scale;
    if (Math.abs(x[row] - view.x) > half || Math.abs(y[row] - view.y) > half) look(view.scale, x[row], y[row]);
    card.show(row, true);
  }

  const keys = {
    ArrowRight: () => goTo(neighbour(1, 0)), ArrowLeft: () => goTo(neighbour(-1, 0)),
    ArrowUp: () => goTo(neighbour(0, 1)), ArrowDown: () => goTo(neighbour(0, -1)),
    "+": () => enlarge(1.5), "=": () => enlarge(1.5), "-": () => enlarge(1 / 1.5), "0": () => enlarge(0),
    " ": () => card.toggle(), Escape: () => update({ picked: null }),
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const [id, factor] of [["map-in", 1.5], ["map-out", 1 / 1.5], ["map-all", 0]]) {
    document.getElementById(id).addEventListener("click", () => enlarge(factor));
  }
  for (const input of document.querySelectorAll("input[name=drag]")) input.addEventListener("change", touch);
})();
