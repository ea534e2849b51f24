// The open menu covers the page: choosing a question closes it.
const menu = document.querySelector(".menu");
menu.addEventListener("click", (event) => {
  if (event.target.closest("a")) menu.open = false;
});

// On a phone, the rows of a table whose columns all have a name become cards of named values.
for (const table of document.querySelectorAll("main > table")) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  if (names.includes("")) continue;
  table.classList.add("cards");
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, column) => {
      cell.dataset.label = names[column];
      if (!cell.hasChildNodes()) return;
      const value = document.createElement("span");
      value.append(...cell.childNodes);
      cell.append(value);
    });
  }
}
