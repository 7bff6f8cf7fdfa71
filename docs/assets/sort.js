// A click on the head of a table sorts it by that column; numbers by value, the rest by name.
document.addEventListener("click", event => {
  const head = event.target.closest(".sortable th");
  if (!head) return;
  const body = head.closest("table").tBodies[0];
  const column = head.cellIndex;
  const down = head.getAttribute("aria-sort") !== "descending";
  const value = row => row.cells[column].textContent.trim();
  const number = text => parseFloat(text.replace(/,/g, ""));
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    const [m, n] = [number(x), number(y)];
    if (isNaN(m) && isNaN(n)) return down ? x.localeCompare(y) : y.localeCompare(x);
    if (isNaN(m) || isNaN(n)) return isNaN(m) ? 1 : -1;  // what has no number comes last
    return down ? n - m : m - n;
  });
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...rows);
});
