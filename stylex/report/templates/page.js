// Tables that sort, contents that say where one is, folded parts that open when they are linked to or printed, pictures
// that are there when they are printed.
// Without this script everything is still there to be read.
(() => {
  "use strict";
  const NOTHING = "–";
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const status = document.getElementById("status");

  const number = text => Number.parseFloat(text.replaceAll("−", "-").replace(/(\d),(?=\d{3})/g, "$1"));

  function compare(a, b, numeric) {
    if (!numeric) return collator.compare(a, b);
    return number(a) - number(b);
  }

  function empty(text, numeric) {
    return text === "" || text === NOTHING || (numeric && Number.isNaN(number(text)));
  }

  // The next order of a column: ascending, descending, as it was.
  function next(order) {
    return { ascending: "descending", descending: "none" }[order] ?? "ascending";
  }

  function sort(table, heading, original) {
    const headings = [...table.tHead.rows[0].cells];
    const column = headings.indexOf(heading);
    const order = next(heading.getAttribute("aria-sort"));
    headings.forEach(each => each.removeAttribute("aria-sort"));
    let rows = [...original];
    if (order !== "none") {
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const numeric = heading.classList.contains("number");
      const text = row => row.cells[column].textContent.trim();
      const last = row => empty(text(row), numeric);
      rows.sort((a, b) => last(a) - last(b) || (last(a) ? 0 : sign * compare(text(a), text(b), numeric)));
    }
    table.tBodies[0].append(...rows);
    const name = heading.textContent.trim();
    status.textContent = order === "none" ? "The order of the table is restored." : `Sorted by ${name}, ${order}.`;
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const original = [...table.tBodies[0].rows];
    if (original.length < 2) continue;
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, heading, original));
    }
  }

  function unfold() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target?.closest("details:not([open])");
    if (folded) {
      folded.open = true;
      target.scrollIntoView();
    }
  }
  addEventListener("hashchange", unfold);
  unfold();

  addEventListener("beforeprint", () => {
    for (const image of document.querySelectorAll("figure > img[loading]")) image.loading = "eager";
    for (const part of document.querySelectorAll("details:not([open], .motion)")) {
      part.open = true;
      part.dataset.folded = "";
    }
  });
  addEventListener("afterprint", () => {
    for (const part of document.querySelectorAll("details[data-folded]")) {
      part.open = false;
      delete part.dataset.folded;
    }
  });

  const links = new Map([...document.querySelectorAll("nav a")].map(link => [link.hash.slice(1), link]));
  const watched = [...links.keys()].map(id => document.getElementById(id)).filter(Boolean);
  const visible = new Set();
  const observer = new IntersectionObserver(entries => {
    entries.forEach(entry => (entry.isIntersecting ? visible.add(entry.target) : visible.delete(entry.target)));
    const current = watched.filter(part => visible.has(part)).at(-1);
    links.forEach((link, id) => {
      if (current?.id === id) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    });
  }, { rootMargin: "0px 0px -75% 0px" });
  watched.forEach(part => observer.observe(part));
})();
