import { useEffect, useRef, useState } from "react";

const LIFE = 8000;
const TONE = { good: "border-l-good", bad: "border-l-bad", warn: "border-l-warn", plain: "border-l-line-strong" };

// Shows every new `notice` ({id, title, message, request_id, tone}) once. Errors stay until they are closed; the rest leave by
// themselves unless the pointer rests on them.
export function Toasts({ notice, ref: _ref }) {
  const [shown, setShown] = useState([]);
  const seen = useRef(notice?.id ?? "");
  const resting = useRef(false);
  useEffect(() => {
    if (!notice?.id || notice.id === seen.current) return;
    seen.current = notice.id;
    setShown((now) => [...now.slice(-2), { ...notice, until: notice.tone === "bad" ? Infinity : Date.now() + LIFE }]);
  }, [notice]);
  useEffect(() => {
    if (!shown.some((one) => one.until !== Infinity)) return;
    const timer = setInterval(() => {
      if (!resting.current) setShown((now) => (now.every((one) => one.until > Date.now()) ? now : now.filter((one) => one.until > Date.now())));
    }, 500);
    return () => clearInterval(timer);
  }, [shown]);
  return (
    <div
      role="status"
      aria-live="polite"
      data-testid="toasts"
      className="pointer-events-none fixed right-4 bottom-4 z-50 grid w-[360px] max-w-[calc(100vw-32px)] gap-2"
      onMouseEnter={() => (resting.current = true)}
      onMouseLeave={() => (resting.current = false)}
    >
      {shown.map((one) => (
        <div key={one.id} className={"rise pointer-events-auto flex gap-3 rounded-lg border border-l-4 border-line-strong bg-surface p-3 shadow-float " + (TONE[one.tone] ?? TONE.plain)}>
          <div className="min-w-0">
            <p className="font-medium">{one.title}</p>
            {one.message ? <p className="text-[13px] text-ink-2">{one.message}</p> : null}
            {one.request_id ? <p className="mt-1 font-mono text-[12px] text-ink-3">{one.request_id}</p> : null}
          </div>
          <button type="button" className="ml-auto self-start rounded px-1.5 text-[13px] text-ink-2 hover:bg-sunken" onClick={() => setShown((now) => now.filter((x) => x.id !== one.id))}>
            Close
          </button>
        </div>
      ))}
    </div>
  );
}
