// Excerpts in search results are fetched, which a browser allows on a server but not from a file.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// What is wider than the page scrolls, and what scrolls must be reachable by keyboard.
function makeReachable() {
  for (const node of document.querySelectorAll("article pre, .table-wrapper, .formula")) {
    if (node.scrollWidth > node.clientWidth) node.tabIndex = 0;
    else node.removeAttribute("tabindex");
  }
}
window.addEventListener("load", makeReachable);
window.addEventListener("resize", makeReachable);
