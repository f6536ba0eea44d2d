/** How a picture looks: plain classes and colours, which programs for vector graphics read as well as browsers. */

/**
 * Colours of configurations, on light and on dark ground. Simulated for protanopia, deuteranopia and tritanopia, too, any
 * two differ (CIE 1976) by at least 22; letters at the lines' ends tell the same.
 */
const palette: readonly (readonly [light: string, dark: string])[] = [
  ['#2248a3', '#66a3fd'],
  ['#c98c1f', '#e17a32'],
  ['#0cae58', '#3aea84'],
  ['#b2418a', '#f5afe4'],
  ['#6b5809', '#ecf03b'],
  ['#1a1a1a', '#d3ffdd'],
  ['#718adf', '#4758d0'],
  ['#677a61', '#998685'],
];

/** Configurations that a picture can tell apart. */
export const groupColours = palette.length;

function colours(side: 0 | 1): string {
  return palette.map((pair, i) => `.cornet-report .g${i} { color: ${pair[side]} }`).join('\n');
}

/** Each rule begins with the picture's own class: within a page the rest of it stays as it is. */
export const pictureStyle = `
.cornet-report { font-family: system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; font-size: 12px; font-variant-numeric: tabular-nums; color: #1a1a1a }
.cornet-report text { fill: currentColor }
.cornet-report .title { font-size: 20px; font-weight: 600 }
.cornet-report .heading { font-size: 14px; font-weight: 600 }
.cornet-report .unit { font-size: 12px; font-weight: 400 }
.cornet-report .strong, .cornet-report .value { font-weight: 600 }
.cornet-report .note { font-size: 11px }
.cornet-report tspan { fill: currentColor }
.cornet-report .soft { color: #666 }
.cornet-report .ground { fill: #fff }
.cornet-report .grid { stroke: #e6e6e6 }
.cornet-report .axis { stroke: #999 }
.cornet-report .line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
.cornet-report .thin { stroke-width: 1; stroke-opacity: 0.6 }
.cornet-report .dashed { stroke-dasharray: 5 4; stroke-width: 1.5; stroke-linecap: butt }
.cornet-report .dot { fill: currentColor }
.cornet-report .band { fill: currentColor; fill-opacity: 0.2 }
.cornet-report .leader { fill: none; stroke: currentColor; stroke-opacity: 0.5; stroke-dasharray: 1 2 }
.cornet-report .ink { color: #1a1a1a }
.cornet-report .train { color: #c2410c }
.cornet-report .val { color: #1d4ed8 }
${colours(0)}
@media screen and (prefers-color-scheme: dark) {
.cornet-report, .cornet-report .ink { color: #eee }
.cornet-report .soft { color: #a3a3a3 }
.cornet-report .ground { fill: #111 }
.cornet-report .grid { stroke: #2b2b2b }
.cornet-report .axis { stroke: #666 }
.cornet-report .train { color: #fb923c }
.cornet-report .val { color: #60a5fa }
${colours(1)}
}
`;

/** Of the page around a picture. */
export const pageStyle = `
:root { color-scheme: light dark; --ground: #fff; --ink: #1a1a1a; --soft: #666; --line: #e6e6e6 }
@media screen and (prefers-color-scheme: dark) { :root { --ground: #111; --ink: #eee; --soft: #a3a3a3; --line: #2b2b2b } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 14px/1.45 system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums }
main { max-width: 960px; margin: 0 auto; padding: 16px }
main > svg { display: block; width: 100%; height: auto }
section { margin-top: 28px; padding: 0 24px; break-inside: avoid }
h2 { margin: 0 0 8px; font-size: 16px }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px }
th, td { padding: 4px 16px 4px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
td { white-space: nowrap }
tbody th { min-width: 6em; overflow-wrap: anywhere }
thead th, th { font-weight: 600 }
.number { text-align: right; white-space: nowrap }
thead th, thead .number { color: var(--soft); font-weight: 400; vertical-align: bottom; white-space: normal }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: 0 24px; margin: 0 }
dl div { padding: 4px 0; border-bottom: 1px solid var(--line); break-inside: avoid }
dt { color: var(--soft); font-size: 12px }
dd { margin: 0; overflow-wrap: anywhere }
.note { color: var(--soft); font-size: 12px }
@media (max-width: 600px) { section { padding: 0 } }
@media print { main { max-width: none; padding: 0 } .scroll { overflow: visible } body { font-size: 11px } }
`;
