// The DON/NOD plane: points, axes with ticks, and the outline of the densest region of the kept rows.
if (data.plane) await (async () => {
  const n = data.plane.drawn, planes = new Planes(await inflate(data.plane.packed));
  const x = planes.unit(n), y = planes.unit(n), kept = planes.bytes(n);
  const left = 82, right = 12, top = 12, bottom = 46;

  picture(document.getElementById("plane-canvas"), (context, size) => {
    const px = (value) => left + value * (size - left - right), py = (value) => size - bottom - value * (size - top - bottom);
    const radius = Math.max(0.8, Math.min(2.6, (0.3 * size) / Math.sqrt(n)));
    context.clearRect(0, 0, size, size);
    context.font = `13px ${getComputedStyle(document.body).fontFamily}`;
    context.lineWidth = 1;
    context.strokeStyle = theme("line");
    context.fillStyle = theme("soft");
    context.textAlign = "center";
    for (const [value, text] of data.plane.x_ticks) {
      context.beginPath(); context.moveTo(px(value), py(0)); context.lineTo(px(value), py(1)); context.stroke();
      context.fillText(text, px(value), py(0) + 18);
    }
    context.textAlign = "right";
    for (const [value, text] of data.plane.y_ticks) {
      context.beginPath(); context.moveTo(px(0), py(value)); context.lineTo(px(1), py(value)); context.stroke();
      context.fillText(text, px(0) - 8, py(value) + 4);
    }
    context.textAlign = "center";
    context.fillText("NOD, smaller is better", px(0.5), size - 8);
    context.save();
    context.translate(13, py(0.5)); context.rotate(-Math.PI / 2);
    context.fillText("DON, larger is better", 0, 0);
    context.restore();
    for (const which of [0, 1]) {
      context.fillStyle = theme(which ? "kept" : "rest");
      context.globalAlpha = which ? 0.75 : 0.55;
      context.beginPath();
      for (let i = 0; i < n; i++) {
        if (kept[i] !== which) continue;
        context.moveTo(px(x[i]) + radius, py(y[i]));
        context.arc(px(x[i]), py(y[i]), radius, 0, 2 * Math.PI);
      }
      context.fill();
    }
    context.globalAlpha = 1;
    context.strokeStyle = theme("ink");
    context.lineWidth = 2;
    context.lineCap = "round";
    context.beginPath();
    for (const [x1, y1, x2, y2] of data.plane.outline) {
      context.moveTo(px(x1), py(y1)); context.lineTo(px(x2), py(y2));
    }
    context.stroke();
  });
})();
