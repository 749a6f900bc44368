import { useEffect, useRef, useState } from "react";

// The clipboard API exists on https and localhost only; elsewhere the old way still works.
const write = async (text) => {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
  area.style.cssText = "position:fixed;opacity:0";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser refused");
};

// What was said about the last copy, for a moment, and the way to copy.
const useCopy = () => {
  const [said, setSaid] = useState("");
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async (text) => {
    try {
      await write(text);
      setSaid("Copied");
    } catch {
      setSaid("Not copied");
    }
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setSaid(""), 1600);
  };
  return [said, copy];
};

export function CopyAddress({ className, ref: _ref }) {
  const [said, copy] = useCopy();
  return (
    <button type="button" className={className} data-testid="share" onClick={() => copy(window.location.href)}>
      <span role="status">{said || "Copy link"}</span>
    </button>
  );
}

export function CopyButton({ text, what = "", className, ref: _ref }) {
  const [said, copy] = useCopy();
  return (
    <button type="button" className={className} data-testid="copy" aria-label={`Copy ${what}`.trim()} onClick={() => copy(text)}>
      <span role="status">{said || "Copy"}</span>
    </button>
  );
}

const HERE = "{origin}";

// Samples with the address that the person is using right now; the server cannot know it behind a proxy. The prerendered text shows
// the default one and is corrected on mounting.
export function CodeTabs({ samples, label = "Code samples", copyClass, ref: _ref }) {
  const [at, setAt] = useState(0);
  const [origin, setOrigin] = useState("http://localhost:3000");
  const tabs = useRef([]);
  useEffect(() => setOrigin(window.location.origin), []);
  const list = samples ?? [];
  const current = list[Math.min(at, list.length - 1)];
  if (!current) return null;
  const text = current.code.replaceAll(HERE, origin);
  const onKeyDown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (at + step + list.length) % list.length;
    setAt(next);
    tabs.current[next]?.focus();
  };
  return (
    <div>
      <div className="flex items-center gap-3.5 text-[13px] text-ink-3">
        <div role="tablist" aria-label={label} className="flex gap-3.5" onKeyDown={onKeyDown}>
          {list.map((sample, i) => (
            <button
              key={sample.name}
              ref={(element) => (tabs.current[i] = element)}
              type="button"
              role="tab"
              id={`code-tab-${i}`}
              aria-selected={i === at}
              aria-controls="code-panel"
              tabIndex={i === at ? 0 : -1}
              className={i === at ? "border-b-2 border-accent pb-1 font-medium text-ink" : "border-b-2 border-transparent pb-1 hover:text-ink"}
              onClick={() => setAt(i)}
            >
              {sample.name}
            </button>
          ))}
        </div>
        <span className="ml-auto">
          <CopyButton text={text} what={current.name + " sample"} className={copyClass} />
        </span>
      </div>
      <pre
        id="code-panel"
        role="tabpanel"
        aria-labelledby={`code-tab-${at}`}
        tabIndex={0}
        data-testid="code"
        className="mt-2.5 overflow-x-auto rounded bg-sunken p-3.5 font-mono text-[12.5px] leading-[1.6]"
      >
        {text}
      </pre>
    </div>
  );
}
