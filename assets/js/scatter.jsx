import { useState } from "react";
import { useNavigate } from "react-router";
import { apart, cut, placeLabels, useWidth, wide } from "$/public/js/plot.js";

const TOP = 28, BOTTOM = 42, LEFT = 40, RIGHT = 16;
const anchor = (tick) => (tick.at > 0.9 ? "end" : tick.at < 0.1 ? "start" : "middle");

// `chart` is a Scatter; places in it are from 0 to 1. Each dot can be reached by the keyboard and says what it stands for; with `to` it
// is a link to that address and its id.
export function Plot({ chart, xLabel = "", yLabel = "", to = "", height: HEIGHT = 268, ref: _ref }) {
  const navigate = useNavigate();
  const Mark = to ? "a" : "g";
  const leads = (id) => to ? {
    href: to + id,
    onClick: (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      navigate(to + id);
    },
  } : { role: "img", tabIndex: 0 };
  const [box, width] = useWidth();
  const [at, setAt] = useState("");
  const dots = chart?.dots ?? [], front = chart?.front ?? [];
  const room = width - LEFT - RIGHT;
  const x = (place) => Math.round((LEFT + place * room) * 10) / 10;
  const y = (height) => Math.round((TOP + (1 - height) * HEIGHT) * 10) / 10;
  const shown = dots.find((dot) => dot.id === at);
  let line = "";
  front.forEach(([place, height], i) => {
    line += i ? `H${x(place)}V${y(height)}` : `M${x(place)} ${y(height)}`;
  });
  const most = width >= 480 ? 190 : 130;
  const face = (dot) => (dot.chosen ? [12, 500] : [11, 400]);
  const named = Object.fromEntries(dots.map((dot) => [dot.id, cut(dot.name, most, ...face(dot))]));
  const labels = placeLabels(
    dots.map((dot) => ({ id: dot.id, x: x(dot.at), y: y(dot.height), width: wide(named[dot.id], ...face(dot)) + 2, must: dot.chosen })),
    { left: LEFT + 2, right: LEFT + room + 12, top: TOP, bottom: TOP + HEIGHT },
  );
  const halo = { paintOrder: "stroke", stroke: "var(--surface)", strokeWidth: 3, strokeLinejoin: "round" };
  return (
    <div ref={box} className="relative">
      <svg width="100%" height={HEIGHT + TOP + BOTTOM} role="group" aria-label={chart?.sentence ?? ""} data-testid="scatter">
        {(chart?.y_ticks ?? []).map((tick) => (
          <g key={tick.at} aria-hidden="true">
            <line x1={LEFT} x2={LEFT + room} y1={y(tick.at)} y2={y(tick.at)} stroke="var(--line)" />
            <text x={LEFT - 8} y={y(tick.at) + 4} textAnchor="end" fontSize="11" fill="var(--ink-3)" fontFamily="var(--mono)">{tick.text}</text>
          </g>
        ))}
        {apart(chart?.x_ticks ?? [], x, anchor).map((tick) => (
          <text key={tick.at} aria-hidden="true" x={x(tick.at)} y={TOP + HEIGHT + 18} textAnchor={anchor(tick)} fontSize="11" fill="var(--ink-3)" fontFamily="var(--mono)">{tick.text}</text>
        ))}
        <text aria-hidden="true" x={LEFT + room} y={TOP + HEIGHT + 36} textAnchor="end" fontSize="11.5" fill="var(--ink-3)">{xLabel}</text>
        <text aria-hidden="true" x="0" y="11" fontSize="11.5" fill="var(--ink-3)">{yLabel}</text>
        {line ? <path aria-hidden="true" d={line} fill="none" stroke="var(--line-strong)" strokeWidth="1.5" strokeDasharray="3 3" /> : null}
        {[...dots].reverse().map((dot) => {
          const colour = dot.chosen ? "var(--accent)" : "var(--ink-3)";
          const label = labels[dot.id];
          return (
            <Mark
              key={dot.id}
              {...leads(dot.id)}
              aria-label={dot.read}
              data-dot={dot.id}
              onPointerEnter={() => setAt(dot.id)}
              onPointerLeave={() => setAt("")}
              onFocus={() => setAt(dot.id)}
              onBlur={() => setAt("")}
            >
              <line x1={x(dot.at)} x2={x(dot.at)} y1={y(dot.low)} y2={y(dot.high)} stroke={colour} strokeOpacity={dot.chosen ? 0.6 : 0.35} />
              <circle cx={x(dot.at)} cy={y(dot.height)} r={dot.chosen ? 5 : 3} fill={dot.front ? colour : "var(--surface)"} stroke={colour} strokeWidth="1.5" />
              <circle cx={x(dot.at)} cy={y(dot.height)} r="12" fill="transparent" />
              {label && Math.abs(label.y - y(dot.height)) > 7 ? (
                <line x1={x(dot.at)} x2={label.near} y1={y(dot.height)} y2={label.y} stroke="var(--ink-3)" strokeOpacity="0.5" />
              ) : null}
              {label ? (
                <text
                  x={label.x}
                  y={label.y + 4}
                  style={halo}
                  fontSize={face(dot)[0]}
                  fill={dot.chosen ? "var(--ink)" : "var(--ink-3)"}
                  fontWeight={face(dot)[1]}
                >
                  {named[dot.id]}
                </text>
              ) : null}
            </Mark>
          );
        })}
      </svg>
      <p role="status" data-testid="read" className="min-h-[1.5em] text-[12.5px] text-ink-2">{shown ? shown.read : ""}</p>
    </div>
  );
}
