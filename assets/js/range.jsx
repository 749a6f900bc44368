import { useEffect, useRef, useState } from "react";

const nearest = (steps, value, fallback) => {
  if (value === null || value === undefined) return fallback;
  let best = 0;
  steps.forEach((step, i) => {
    if (Math.abs(step.value - value) < Math.abs(steps[best].value - value)) best = i;
  });
  return best;
};

// Two ends on one scale of named steps. `steps` are inner steps [{value, text}]; before and after them lies "any". `low` and `high`
// are null for any. With `single` there is only the lower end.
export function Range({ label, steps, low = null, high = null, anyLow = "any", anyHigh = "any", single = false, onPick, ref: _ref }) {
  const last = steps.length + 1;
  const fromLow = low === null ? 0 : nearest(steps, low, 0) + 1;
  const fromHigh = high === null ? last : nearest(steps, high, 0) + 1;
  const [ends, setEnds] = useState([fromLow, fromHigh]);
  const timer = useRef(0), pick = useRef(onPick);
  pick.current = onPick;
  useEffect(() => setEnds([fromLow, fromHigh]), [fromLow, fromHigh]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const valueAt = (i) => (i <= 0 || i >= last ? null : steps[i - 1].value);
  const textOf = (end, i) => {
    if (end === 0) return i <= 0 ? anyLow : "≥ " + steps[Math.min(i, last - 1) - 1].text;
    return i >= last ? anyHigh : "≤ " + steps[Math.max(i, 1) - 1].text;
  };
  const move = (end, i) => {
    const next = end === 0 ? [Math.min(i, ends[1] - (single ? 1 : 0)), ends[1]] : [ends[0], Math.max(i, ends[0])];
    setEnds(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => pick.current?.(valueAt(next[0]), valueAt(next[1])), 200);
  };
  const input = (end, name) => (
    <input
      type="range"
      min={0}
      max={last}
      step={1}
      value={ends[end]}
      aria-label={`${label}, ${name}`}
      aria-valuetext={textOf(end, ends[end])}
      style={end === 0 && ends[0] > last / 2 ? { zIndex: 1 } : undefined}
      onChange={(event) => move(end, Number(event.target.value))}
    />
  );
  return (
    <div>
      <div className="range">
        <span className="track" />
        <span className={"fill " + (ends[0] > 0 || ends[1] < last ? "bg-accent" : "bg-line-strong")} style={{ left: `${(ends[0] / last) * 100}%`, right: `${100 - (ends[1] / last) * 100}%` }} />
        {input(0, "at least")}
        {single ? null : input(1, "at most")}
      </div>
      <div className="flex justify-between font-mono text-[12px] text-ink-3" aria-hidden="true">
        <span>{textOf(0, ends[0])}</span>
        <span>{textOf(1, ends[1])}</span>
      </div>
    </div>
  );
}
