// Moves the decision threshold over the test images' probabilities, which are in the page.
(() => {
  const panel = document.querySelector(".threshold");
  const { healthy, diseased } = JSON.parse(panel.querySelector("[type$=json]").text);
  const input = panel.querySelector("input");
  const buttons = [...panel.querySelectorAll("button")];
  const called = (probabilities, threshold) => probabilities.filter((p) => p >= threshold).length;
  const show = (name, text) => { panel.querySelector(`[data-shows=${name}]`).textContent = text; };
  const share = (part, whole) =>
    whole ? `${(part / whole).toFixed(3)} (${part} of ${whole})` : "not defined";

  function update(value) {
    const [fp, tp] = [called(healthy, value), called(diseased, value)];
    const [tn, fn] = [healthy.length - fp, diseased.length - tp];
    const text = Number(value).toFixed(3);
    Object.entries({
      threshold: text, tn, fp, fn, tp,
      recall: share(tp, tp + fn),
      specificity: share(tn, tn + fp),
      precision: share(tp, tp + fp),
      accuracy: share(tp + tn, tp + tn + fp + fn),
    }).forEach(([name, shown]) => show(name, shown));
    input.setAttribute("aria-valuetext", text);
    buttons.forEach((button) => button.setAttribute("aria-pressed", button.value === String(value)));
  }

  input.addEventListener("input", () => update(input.value));
  buttons.forEach((button) => button.addEventListener("click", () => {
    input.value = button.value; // to the nearest step; the numbers are of the threshold itself
    update(button.value);
  }));
  input.value = 0.5;
  update("0.5");
  panel.hidden = false;
})();
