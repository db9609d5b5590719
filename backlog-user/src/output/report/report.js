// Zoom for the plots over time. Without it the page is complete.
document.querySelectorAll("figure.time").forEach(function (figure) {
  var pan = figure.querySelector(".pan");
  var svg = pan.querySelector("svg");
  if (!svg) return;
  var scale = 1;
  function zoom(to, at) {
    to = Math.min(16, Math.max(1, to));
    var x = at === undefined ? pan.clientWidth / 2 : at;
    var share = (pan.scrollLeft + x) / pan.scrollWidth;
    scale = to;
    svg.style.width = scale * 100 + "%";
    pan.scrollLeft = share * pan.scrollWidth - x;
  }
  var tools = document.createElement("div");
  tools.className = "zoom";
  [["+", "Zoom in", 2], ["\u2212", "Zoom out", 0.5], ["1:1", "Whole plot", 0]].forEach(function (one) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = one[0];
    button.title = one[1];
    button.setAttribute("aria-label", one[1] + ": " + svg.querySelector("title").textContent);
    button.addEventListener("click", function () { zoom(one[2] ? scale * one[2] : 1); });
    tools.appendChild(button);
  });
  figure.insertBefore(tools, pan.nextSibling);
  pan.addEventListener("dblclick", function (event) {
    zoom(scale * 2, event.clientX - pan.getBoundingClientRect().left);
  });
});
