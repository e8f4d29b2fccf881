// Draws the corpus map: points by layout and colour, names of clusters, the row that is shown, the lasso.
const map = data.rows.layouts.length ? (() => {
  const canvas = document.getElementById("map-canvas"), legend = document.getElementById("map-legend");
  const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
  const lasso = [];
  const layout = () => rows.layouts[chosen("layout") || data.rows.layouts[0]];

  // Rows by colour, since changing the fill style is slow; kept rows last, so that they are drawn on top.
  function brushes() {
    const by = chosen("colour"), groups = new Map(), steps = data.rows.damage?.steps;
    const colours = by === "damage" ? ramp(steps + 1) : null;
    for (let i = 0; i < rows.n; i++) {
      const key = by === "cluster" ? rows.cluster[i] : by === "damage" ? Math.min(rows.damage[i], steps + 1) : rows.kept[i];
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(i);
    }
    return [...groups].sort((a, b) => a[0] - b[0]).map(([key, members]) => ({
      members,
      colour: by === "cluster" ? clusterColour(key) : by === "damage" ? colours[key] || theme("rest") : theme(key ? "kept" : "rest"),
    }));
  }

  function centres() {
    const [x, y] = layout(), sums = new Map();
    for (let i = 0; i < rows.n; i++) {
      const sum = sums.get(rows.cluster[i]) || { cluster: rows.cluster[i], x: 0, y: 0, n: 0 };
      sum.x += x[i]; sum.y += y[i]; sum.n += 1;
      sums.set(sum.cluster, sum);
    }
    return [...sums.values()].map((sum) => ({ ...sum, x: sum.x / sum.n, y: sum.y / sum.n })).sort((a, b) => b.n - a.n);
  }

  // Names of large clusters first; one that would cover another is left out until the map is enlarged.
  function drawNames(context, size, at) {
    const taken = [];
    context.font = `600 12.5px ${getComputedStyle(document.body).fontFamily}`;
    context.textAlign = "center";
    context.lineJoin = "round";
    context.lineWidth = 4;
    for (const { cluster, x, y } of centres()) {
      if (filter.cluster !== "" && String(cluster) !== filter.cluster) continue;
      const name = (data.clusters[cluster] || "").split(/ · |, /)[0], half = context.measureText(name).width / 2 + 5;
      const px = Math.min(size - half, Math.max(half, at.x(x))), py = at.y(y);
      const covers = taken.some((one) => Math.abs(one.px - px) < one.half + half && Math.abs(one.py - py) < 19);
      const underButtons = px + half > size - 44 && py < 125;
      if (covers || underButtons || at.x(x) < 0 || at.x(x) > size || py < 8 || py > size - 8) continue;
      taken.push({ px, py, half });
      context.strokeStyle = theme("card");
      context.strokeText(name, px, py + 4);
      context.fillStyle = theme("ink");
      context.fillText(name, px, py + 4);
    }
  }

  function drawLine(context, at) {
    if (lasso.length < 2) return;
    context.beginPath();
    for (const [x, y] of lasso) context.lineTo(at.x(x), at.y(y));
    context.closePath();
    context.globalAlpha = 0.12;
    context.fillStyle = theme("accent");
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = theme("accent");
    context.lineWidth = 2;
    context.stroke();
  }

  const again = picture(canvas, (context, size) => {
    const at = screenOf(size), [x, y] = layout();
    const radius = Math.max(0.9, Math.min(3.2, (0.34 * size) / Math.sqrt(rows.n))) * Math.min(2.2, view.scale ** 0.5);
    context.clearRect(0, 0, size, size);
    for (const forward of [0, 1]) {
      for (const { members, colour } of brushes()) {
        context.fillStyle = colour;
        context.globalAlpha = forward ? 0.9 : 0.14;
        context.beginPath();
        for (const i of members) {
          const px = at.x(x[i]), py = at.y(y[i]);
          if (matching[i] !== forward || px < -9 || py < -9 || px > size + 9 || py > size + 9) continue;
          context.moveTo(px + radius, py);
          context.arc(px, py, radius, 0, 2 * Math.PI);
        }
        context.fill();
      }
    }
    context.globalAlpha = 1;
    if (chosen("names") && rows.cluster) drawNames(context, size, at);
    if (filter.shown >= 0) {
      context.beginPath();
      context.arc(at.x(x[filter.shown]), at.y(y[filter.shown]), radius + 4, 0, 2 * Math.PI);
      context.strokeStyle = theme("ink");
      context.lineWidth = 2;
      context.stroke();
    }
    drawLine(context, at);
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
    if (by === "damage") { legend.append("undamaged"); key("ramp", `${data.rows.damage.most.toPrecision(2)} nats or more`); }
    if (by === "cluster") legend.append("The dots in the table below are the legend; press one to see its rows only.");
  }

  // The next frame draws, however many changes ask for it.
  let asked = false;
  const draw = () => {
    if (!asked) requestAnimationFrame(() => { asked = false; again(); });
    asked = true;
  };
  for (const input of document.querySelectorAll("input[name=colour], input[name=layout], input[name=names]")) {
    input.addEventListener("change", () => { updateLegend(); draw(); });
  }
  followers.push(draw);
  updateLegend();
  return { canvas, layout, lasso, draw, drag: () => chosen("drag") };
})() : null;
