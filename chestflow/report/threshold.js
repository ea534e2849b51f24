// Moves the decision threshold over counts of test images that are in the page.
(() => {
  const panel = document.querySelector(".threshold");
  // thresholds, ascending; healthy, diseased: images whose probability reaches this one, not the next
  const { thresholds, healthy, diseased } = JSON.parse(panel.querySelector("[type$=json]").text);
  const input = panel.querySelector("input");
  const buttons = [...panel.querySelectorAll("button")];
  const sum = (counts) => counts.reduce((a, b) => a + b, 0);
  const show = (name, text) => { panel.querySelector(`[data-shows=${name}]`).textContent = text; };
  const share = (part, whole) =>
    whole ? `${(part / whole).toFixed(3)} (${part} of ${whole})` : "not defined";

  function update() {
    const at = Number(input.value);
    const [fp, tp] = [sum(healthy.slice(at)), sum(diseased.slice(at))];
    const [tn, fn] = [sum(healthy) - fp, sum(diseased) - tp];
    const said = thresholds[at].toFixed(3);
    Object.entries({
      threshold: said, tn, fp, fn, tp,
      recall: share(tp, tp + fn),
      specificity: share(tn, tn + fp),
      precision: share(tp, tp + fp),
      accuracy: share(tp + tn, tp + tn + fp + fn),
    }).forEach(([name, text]) => show(name, text));
    input.setAttribute("aria-valuetext", said);
    buttons.forEach((button) => button.setAttribute("aria-pressed", button.value === input.value));
  }

  input.addEventListener("input", update);
  buttons.forEach((button) => button.addEventListener("click", () => {
    input.value = button.value;
    update();
  }));
  update();
  panel.hidden = false;
})();
