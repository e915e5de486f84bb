// Drawing in pixels: scales, paths, axes.
export const SVG = "http://www.w3.org/2000/svg";

export function scale([from, to], [start, end]) {
  const there = (value) => start + ((value - from) / (to - from)) * (end - start);
  there.back = (pixel) => from + ((pixel - start) / (end - start)) * (to - from);
  return there;
}

export function path(points, colour, extra = "") {
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");
  return `<path d="M${line}" class="line" style="stroke:var(--${colour})" ${extra}/>`;
}

export function line(x0, y0, x1, y1, colour = "faint", extra = "") {
  return path(
    [
      [x0, y0],
      [x1, y1],
    ],
    colour,
    extra,
  );
}

export function rect(x0, y0, x1, y1, colour, extra = "") {
  const [x, y] = [Math.min(x0, x1), Math.min(y0, y1)];
  const size = `width="${Math.abs(x1 - x0).toFixed(1)}" height="${Math.abs(y1 - y0).toFixed(1)}"`;
  const fill = `style="fill:var(--${colour})"`;
  return `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${size} ${fill} ${extra}/>`;
}

export function dot(x, y, colour, radius = 5) {
  const place = `cx="${x.toFixed(1)}" cy="${y.toFixed(1)}"`;
  return `<circle ${place} r="${radius}" style="fill:var(--${colour})"/>`;
}

export function text(x, y, words, colour = "ink", anchor = "middle") {
  const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"`;
  return `<text ${place} style="fill:var(--${colour})">${words}</text>`;
}

// A canvas whose drawing is replaced at each change, while its handles stay and keep the focus.
export function canvas(parent, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", label);
  svg.innerHTML = '<g class="drawing" aria-hidden="true"></g><g class="handles"></g>';
  parent.append(svg);
  return {
    svg,
    handles: svg.lastChild,
    draw(width, height, content) {
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.setAttribute("width", width);
      svg.setAttribute("height", height);
      svg.firstChild.innerHTML = content;
    },
  };
}
