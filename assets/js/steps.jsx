import { useState } from "react";
import { apart, cut, placeOf, useWidth, wide } from "$/public/js/plot.js";

const HEIGHT = 168, TOP = 10, BOTTOM = 24, LEFT = 46;
const anchor = (tick) => (tick.at > 0.9 ? "end" : "start");

// A line that goes in steps; where the height is null there is no line.
const path = (points, x, y) => {
  let drawn = "", pen = false;
  points.forEach(([at, height], i) => {
    const [before] = i ? [points[i - 1][1]] : [null];
    if (pen && before !== null) drawn += `H${x(at)}`;
    if (height === null) pen = false;
    else {
      drawn += pen ? `V${y(height)}` : `M${x(at)} ${y(height)}`;
      pen = true;
    }
  });
  return drawn;
};

// `chart` is a StepChart; places in it are from 0 to 1. Arrow keys and the pointer go from step to step and say what stood there.
export function Steps({ chart, label = "", ref: _ref }) {
  const [box, width] = useWidth();
  const [at, setAt] = useState(-1);
  const lines = chart?.lines ?? [], stops = chart?.stops ?? [];
  const right = width < 480 ? 114 : 150;
  const room = width - LEFT - right;
  const x = (place) => Math.round((LEFT + place * room) * 10) / 10;
  const y = (height) => Math.round((TOP + (1 - height) * HEIGHT) * 10) / 10;
  const last = stops.length - 1;
  const shown = stops[Math.min(at, last)];
  const nearest = (place) => {
    let found = 0;
    stops.forEach((stop, i) => {
      if (stop.at <= place) found = i;
    });
    return found;
  };
  const onKeyDown = (event) => {
    const move = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    setAt(Math.min(last, Math.max(0, move)));
  };
  return (
    <div ref={box} className="relative">
      <svg width="100%" height={HEIGHT + TOP + BOTTOM} role="img" aria-label={chart?.sentence || label}>
        {(chart?.y_ticks ?? []).map((tick) => (
          <g key={tick.at}>
            <line x1={LEFT} x2={LEFT + room} y1={y(tick.at)} y2={y(tick.at)} stroke="var(--line)" />
            <text x={LEFT - 8} y={y(tick.at) + 4} textAnchor="end" fontSize="11" fill="var(--ink-3)" fontFamily="var(--mono)">{tick.text}</text>
          </g>
        ))}
        {apart(chart?.x_ticks ?? [], x, anchor).map((tick) => (
          <text key={tick.at} x={x(tick.at)} y={TOP + HEIGHT + 18} textAnchor={anchor(tick)} fontSize="11" fill="var(--ink-3)">{tick.text}</text>
        ))}
        {chart?.unwatched?.length ? (
          <g>
            <rect x={x(chart.unwatched[0])} width={Math.max(1, x(chart.unwatched[1]) - x(chart.unwatched[0]))} y={TOP} height={HEIGHT} fill="var(--sunken)" />
            {x(chart.unwatched[1]) - x(chart.unwatched[0]) > 76 ? (
              <text x={(x(chart.unwatched[0]) + x(chart.unwatched[1])) / 2} y={TOP + 12} textAnchor="middle" fontSize="10.5" fill="var(--ink-3)">nobody looked</text>
            ) : null}
          </g>
        ) : null}
        {[...lines].reverse().map((line) => (
          <path
            key={line.name}
            d={path(line.points, x, y)}
            fill="none"
            stroke={line.main ? "var(--accent)" : "var(--ink-3)"}
            strokeWidth={line.main ? 2 : 1.5}
            strokeDasharray={line.main ? undefined : "4 3"}
          />
        ))}
        {lines.map((line) => (line.amount ? (
          <text key={line.name} x={LEFT + room + 7} y={y(line.label_at) + 4} fontSize="12" fill={line.main ? "var(--accent)" : "var(--ink-2)"}>
            {cut(line.name, right - 10 - wide(" " + line.amount, 12))} {line.amount}
          </text>
        ) : null))}
        {shown && at >= 0 ? <line x1={x(shown.at)} x2={x(shown.at)} y1={TOP} y2={TOP + HEIGHT} stroke="var(--ink-3)" /> : null}
      </svg>
      {last >= 0 ? (
        <div
          role="slider"
          tabIndex={0}
          aria-label={label || "Day"}
          aria-valuemin={0}
          aria-valuemax={last}
          aria-valuenow={Math.max(0, Math.min(at, last))}
          aria-valuetext={stops[Math.max(0, Math.min(at, last))].title + ": " + stops[Math.max(0, Math.min(at, last))].lines.join(", ")}
          data-testid="steps"
          className="absolute inset-0 touch-pan-y"
          style={{ height: HEIGHT + TOP }}
          onPointerMove={(event) => setAt(nearest(placeOf(event, LEFT, room)))}
          onPointerLeave={() => setAt(-1)}
          onFocus={(event) => event.target.matches(":focus-visible") && setAt(last)}
          onBlur={() => setAt(-1)}
          onKeyDown={onKeyDown}
        />
      ) : null}
      {shown && at >= 0 ? (
        <div
          data-testid="readout"
          aria-hidden="true"
          className="pointer-events-none absolute top-1 z-10 max-w-[260px] rounded border border-line-strong bg-surface px-2.5 py-1.5 text-[12.5px] shadow-float"
          style={shown.at > 0.5 ? { right: width - x(shown.at) + 8 } : { left: x(shown.at) + 8 }}
        >
          <p className="font-medium">{shown.title}</p>
          {shown.lines.map((line) => <p key={line} className="text-ink-2">{line}</p>)}
        </div>
      ) : null}
    </div>
  );
}
