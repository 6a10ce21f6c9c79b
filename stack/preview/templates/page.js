// Draws the charts in the colours of the page, and again when the theme changes.
const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function colour(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

function draw() {
  for (const place of document.querySelectorAll("[data-chart]")) {
    const { traces, axis, lines, range, days } = JSON.parse(document.getElementById(place.dataset.chart).textContent);
    const round = traces[0].type === "pie";
    const heat = traces[0].type === "heatmap";
    const grid = { gridcolor: colour("--line"), zeroline: false, fixedrange: true, ticks: "outside", tickcolor: "rgba(0,0,0,0)" };
    const shown = traces.map((trace) => round
      ? { ...trace, marker: { ...trace.marker, line: { color: colour("--panel"), width: 2 } } }
      : heat
        ? { ...trace, colorscale: [[0, colour("--least")], [1, colour("--most")]], hovertemplate: "%{y}: %{z:.3~s}<extra></extra>" }
        : { ...trace, hovertemplate: `%{y:.3~s}${axis.ticksuffix || ""}` });
    Plotly.react(place, shown, {
      margin: round ? { l: 4, r: 4, t: 4, b: 4 } : { l: 4, r: 8, t: 8, b: 4 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--quiet"), size: 11, family: getComputedStyle(document.body).fontFamily },
      showlegend: false,
      barmode: "stack",
      bargap: 0.25,
      hovermode: heat ? "closest" : "x unified",
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--text") } },
      xaxis: { ...grid, type: "date", automargin: true, nticks: 6, tickformat: days ? "%b %d" : "%H:%M", ...(range.length ? { range } : {}) },
      yaxis: { ...grid, ...axis, automargin: true, nticks: heat ? 10 : 6, rangemode: "tozero" },
      shapes: lines.map((line) => ({
        type: "line", xref: "paper", x0: 0, x1: 1, y0: line.value, y1: line.value,
        line: { color: line.color, width: 1, dash: "dash" },
      })),
    }, { responsive: true, displayModeBar: false });
  }
}

function show(theme) {
  root.dataset.theme = theme;
  for (const link of document.querySelectorAll("a[data-page]")) link.hash = theme; // the next page looks alike
  draw();
}

document.getElementById("theme").addEventListener("click", () => show(root.dataset.theme === "dark" ? "light" : "dark"));
prefersDark.addEventListener("change", () => show(prefersDark.matches ? "dark" : "light"));
show(["#dark", "#light"].includes(location.hash) ? location.hash.slice(1) : prefersDark.matches ? "dark" : "light");
