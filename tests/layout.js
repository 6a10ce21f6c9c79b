// What is wrong with how a page of the preview is laid out, as sentences.
(() => {
  const faults = [];
  const boxes = [];
  const shown = (element) => element.getClientRects().length > 0;
  for (const panel of document.querySelectorAll(".panel")) {
    const title = panel.querySelector("h2 a, h3").firstChild.textContent.trim();
    const say = (what) => faults.push(`${title}: ${what}`);
    const box = panel.getBoundingClientRect();
    if (box.width < 60 || box.height < 60) say("is too small to be read");
    if (box.left < 0 || box.right > document.documentElement.clientWidth + 1) say("does not fit on the page");
    for (const other of boxes)
      if (Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left) > 1 &&
          Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top) > 1)
        say(`lies on ${other.title}`);
    boxes.push({ title, box });
    if (panel.dataset.empty) say("is empty");
    for (const part of panel.querySelectorAll("h3, .empty, .figures, div.bars, .chart, ul.legend, .scroll")) {
      const { bottom, right, height } = part.getBoundingClientRect();
      if (bottom > box.bottom + 1 || right > box.right + 13) say(`its ${part.className || "title"} is cut`);
      if (height < 12 && shown(part) && part.children.length) say(`its ${part.className || "title"} has no room`);
    }
    for (const text of panel.querySelectorAll("h3, .figures b, .figures i, .bars em, .legend b, .legend em, th"))
      if (text.scrollWidth > text.clientWidth + 1 && getComputedStyle(text).display !== "inline")
        say(`"${text.innerText}" is cut`);
    for (const text of panel.querySelectorAll(".figures i"))
      if (text.scrollHeight > text.clientHeight + 2) say(`"${text.innerText}" is cut`);
    for (const figure of panel.querySelectorAll(".figures div"))
      for (const text of figure.querySelectorAll("b, i")) {
        const inner = text.getBoundingClientRect(), outer = figure.getBoundingClientRect();
        const range = document.createRange();
        range.selectNodeContents(text);
        const wide = range.getBoundingClientRect().width > outer.width + 1;
        if (wide || inner.bottom > outer.bottom + 2 || inner.top < outer.top - 2) say(`"${text.innerText}" is cut`);
      }
    for (const chart of panel.querySelectorAll(".chart"))
      if (!chart.querySelector(`:is(.scatterlayer, .barlayer, .pielayer) .trace path, .heatmaplayer image`))
        say("its chart is not drawn");
  }
  return faults;
})()
