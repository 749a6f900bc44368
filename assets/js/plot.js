import { useEffect, useRef, useState } from "react";

// The width that a plot has, in pixels, kept up to date: text in it keeps its size on every screen.
export function useWidth(start = 640) {
  const box = useRef(null);
  const [width, setWidth] = useState(start);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.max(240, Math.round(entry.contentRect.width))));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return [box, width];
}

// Where in the plot the pointer is, from 0 to 1.
export const placeOf = (event, left, width) =>
  Math.min(1, Math.max(0, (event.clientX - event.currentTarget.getBoundingClientRect().left - left) / width));

// How many pixels a label is wide; before a browser measures it, about.
let ruler;
export const wide = (text, size, weight = 400) => {
  if (typeof document === "undefined") return text.length * size * 0.56;
  ruler ??= document.createElement("canvas").getContext("2d");
  ruler.font = `${weight} ${size}px "Inter Variable", sans-serif`;
  return ruler.measureText(text).width;
};

// A label without what does not fit; the whole of it is in the table and in what is read out.
export const cut = (text, pixels, size = 12, weight = 400) => {
  if (wide(text, size, weight) <= pixels) return text;
  let most = text.length - 1;
  while (most > 3 && wide(text.slice(0, most).trimEnd() + "…", size, weight) > pixels) most -= 1;
  return text.slice(0, most).trimEnd() + "…";
};

// Those of an axis's marks that have room for their words; `anchor` says on which side of its place the text of one stands.
export const apart = (ticks, x, anchor, size = 11) => {
  let end = -Infinity;
  return ticks.filter((tick) => {
    // Letters of even width, of which an axis is made, are six tenths as wide as they are high.
    const width = tick.text.length * size * 0.6;
    const from = x(tick.at) - { start: 0, middle: width / 2, end: width }[anchor(tick)];
    if (from < end + 8) return false;
    end = from + width;
    return true;
  });
};

// Where labels stand: beside their dots if there is room, else a little above or below, and nowhere if they would lie over another one.
// `dots` [{id, x, y, width, must}] come in order of importance; those that must be named may cover other dots. Pixels.
export const placeLabels = (dots, { left, right, top, bottom }) => {
  const marks = dots.map(({ x, y }) => ({ x: x - 6, y: y - 6, w: 12, h: 12 }));
  const names = [];
  const lies = (box, on) => on.some((other) => box.x < other.x + other.w && other.x < box.x + box.w && box.y < other.y + other.h && other.y < box.y + box.h);
  const placed = {};
  dots.forEach(({ id, x, y, width: w, must }) => {
    const spots = [0, -13, 13, -26, 26, ...(must ? [-39, 39, -52, 52] : [])].flatMap((off) => [{ x: x + 9, y: y + off }, { x: x - 9 - w, y: y + off }]);
    const boxes = spots
      .filter((spot) => spot.x >= left && spot.x + w <= right && spot.y >= top && spot.y <= bottom)
      .map((spot) => ({ x: spot.x, y: spot.y - 7, w, h: 14, at: spot.y }))
      .filter((box) => !lies(box, names));
    const box = boxes.find((one) => !lies(one, marks)) ?? (must ? boxes[0] : undefined);
    if (!box) return;
    names.push(box);
    placed[id] = { x: box.x, y: box.at, near: box.x > x ? box.x - 2 : box.x + w + 1 };
  });
  return placed;
};
