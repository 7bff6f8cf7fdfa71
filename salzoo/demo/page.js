// Dragging a box on any of the images. The box is drawn on all of them, and 'drawn' tells the server its corners in
// pixels of the image. Runs once, when the page has loaded; `element` outlives the images that it shows.
const text = () => document.querySelector("#box textarea, #box input");
let start = null, box = null;

function place(pane, event) {
  const { width, height } = pane.closest(".panes").dataset;
  const frame = pane.getBoundingClientRect();
  const within = (part, size) => Math.round(Math.min(Math.max(part, 0), 1) * size);
  return [within((event.clientX - frame.left) / frame.width, width), within((event.clientY - frame.top) / frame.height, height)];
}

function show(corners) {
  element.querySelectorAll(".box").forEach((each) => each.remove());
  const panes = element.querySelector(".panes");
  if (!corners || !panes) return;
  const percent = (value, size) => `${(100 * Math.min(Math.max(value, 0), size)) / size}%`;
  const { width, height } = panes.dataset;
  const [x0, x1] = [corners[0], corners[2]].sort((a, b) => a - b);
  const [y0, y1] = [corners[1], corners[3]].sort((a, b) => a - b);
  panes.querySelectorAll(".pane").forEach((pane) => {
    const frame = pane.appendChild(document.createElement("div"));
    frame.className = "box";
    frame.style.left = percent(x0, width);
    frame.style.top = percent(y0, height);
    frame.style.right = percent(width - x1, width);
    frame.style.bottom = percent(height - y1, height);
  });
}

function showTyped() {
  const numbers = (text()?.value.match(/-?\d+(\.\d+)?/g) ?? []).map(Number);
  show(numbers.length === 4 ? numbers : null);
}

element.addEventListener("pointerdown", (event) => {
  const pane = event.target.closest(".pane");
  if (!pane || event.button !== 0) return;
  event.preventDefault();
  pane.setPointerCapture(event.pointerId);
  start = { pane, corner: place(pane, event) };
  box = null;
});
element.addEventListener("pointermove", (event) => {
  if (!start) return;
  const [x, y] = place(start.pane, event);
  const [left, top] = start.corner;
  box = [Math.min(left, x), Math.min(top, y), Math.max(left, x), Math.max(top, y)];
  show(box);
});
element.addEventListener("pointerup", () => {
  if (!start) return;
  start = null;
  if (box && box[0] < box[2] && box[1] < box[3]) trigger("drawn", { box: box.join(", ") });
  else showTyped(); // a click is no box
});
element.addEventListener("pointercancel", () => {
  start = null;
  showTyped();
});
document.addEventListener("input", (event) => {
  if (event.target === text()) showTyped();
});
watch("value", showTyped);
