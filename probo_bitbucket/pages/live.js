// Live pages: the server says that there is something new; then the page is fetched anew, and what differs is put
// into the one that is shown. What stays the same is not touched: focus, selection, open details, what is typed.
"use strict";

const PAUSE = 400; // milliseconds between two fetches
const AGE = 30000; // milliseconds after which "3 min ago" is not true any more
const RETURN = 10000; // milliseconds after which a stream that was refused is asked for again

const live = document.getElementById("live");
let fetching = false;
let again = false;
let fetched = Date.now();
let leaving = false; // a form was sent: what is shown stays until its answer comes

function tell(works) {
  live.hidden = false;
  live.textContent = works ? "Live" : "Not live";
  live.classList.toggle("off", !works);
}

function copyAttributes(from, to) {
  for (const { name } of [...to.attributes]) {
    if (!from.hasAttribute(name) && name !== "open") to.removeAttribute(name);
  }
  for (const { name, value } of from.attributes) {
    if (to.getAttribute(name) !== value) to.setAttribute(name, value);
  }
}

function alike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && one.id === other.id;
}

// Make the children of *to* those of *from*. Elements with an id are known by it, wherever they are.
function update(to, from) {
  const wanted = new Set([...from.childNodes].map((node) => node.id).filter(Boolean));
  let current = to.firstChild;
  for (const node of [...from.childNodes]) {
    while (current && current.id && current.id !== node.id && !wanted.has(current.id)) {
      const gone = current;
      current = current.nextSibling;
      gone.remove();
    }
    if (current && alike(current, node)) {
      if (current.nodeType === Node.ELEMENT_NODE) {
        copyAttributes(node, current);
        update(current, node);
      } else if (current.nodeValue !== node.nodeValue) {
        current.nodeValue = node.nodeValue;
      }
      current = current.nextSibling;
    } else {
      const known = node.id && [...to.children].find((child) => child.id === node.id);
      if (known) update(known, node);
      to.insertBefore(known || document.importNode(node, true), current);
    }
  }
  while (current) {
    const gone = current;
    current = current.nextSibling;
    gone.remove();
  }
}

async function refresh() {
  if (leaving || fetching || document.hidden) {
    again = true;
    return;
  }
  fetching = true;
  again = false;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      update(document.getElementById("main"), page.getElementById("main"));
      document.title = page.title;
      fetched = Date.now();
    }
  } catch {
    tell(false); // the stream says when the server is back
  }
  setTimeout(() => {
    fetching = false;
    if (again) refresh();
  }, PAUSE);
}

function listen() {
  const stream = new EventSource("/events");
  let lost = false;
  stream.addEventListener("open", () => {
    tell(true);
    if (lost) refresh();
    lost = false;
  });
  stream.addEventListener("message", refresh);
  stream.addEventListener("error", () => {
    tell(false);
    lost = true;
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, RETURN);
  });
}

document.addEventListener("submit", ({ target, submitter }) => {
  if (target.method !== "post") return;
  leaving = true;
  if (!target.dataset.busy) return;
  submitter.setAttribute("aria-live", "polite");
  submitter.textContent = target.dataset.busy;
});
window.addEventListener("pageshow", ({ persisted }) => { if (persisted) location.reload(); }); // back from an answer
document.addEventListener("visibilitychange", () => { if (!document.hidden && again) refresh(); });
setInterval(() => { if (Date.now() - fetched >= AGE) refresh(); }, AGE / 3);
if (!document.querySelector("main .trouble")) listen();
