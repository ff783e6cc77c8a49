// Copy buttons: each copies the text of the element that it names. Without this file they stay hidden.
"use strict";

const SHOWN = 2000; // milliseconds

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

async function copy(element) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  }
  select(element); // a page that came by plain http has no clipboard
  return document.execCommand("copy");
}

for (const button of document.querySelectorAll("button[data-copies]")) {
  const label = button.textContent;
  button.hidden = false;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    const copied = await copy(document.getElementById(button.dataset.copies)).catch(() => false);
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    if (!copied) select(document.getElementById(button.dataset.copies));
    setTimeout(() => { button.textContent = label; }, SHOWN);
  });
}
