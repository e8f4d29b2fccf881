// Which part of the map is seen: its middle in the unit square, and how many times it is enlarged.
const view = { scale: 1, x: 0.5, y: 0.5 }, MARGIN = 10;

function screenOf(size) {
  const side = (size - 2 * MARGIN) * view.scale;
  return {
    x: (unit) => size / 2 + (unit - view.x) * side, y: (unit) => size / 2 - (unit - view.y) * side,
    unitX: (pixel) => view.x + (pixel - size / 2) / side, unitY: (pixel) => view.y - (pixel - size / 2) / side,
  };
}

function look(scale, x, y) {
  view.scale = Math.min(40, Math.max(1, scale));
  const half = 0.5 / view.scale, inside = (value) => Math.min(1 - half, Math.max(half, value));
  view.x = inside(x);
  view.y = inside(y);
}

// The point of the unit square stays where it is on the screen.
function zoom(factor, x = view.x, y = view.y) {
  const before = view.scale, after = Math.min(40, Math.max(1, before * factor));
  look(after, x + (view.x - x) * before / after, y + (view.y - y) * before / after);
}
