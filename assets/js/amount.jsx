import { useEffect, useRef } from "react";

// A number that somebody types: nothing is sent until they pause, and nothing that is no number within the bounds. `value` is what the
// server knows; it is taken over only while nobody is writing.
export function Amount({ value, label, unit = "", least = 0, most = 1e9, whole = true, onSettle, className, id, ref: _ref, ...rest }) {
  const input = useRef(null), timer = useRef(0), sent = useRef(value), send = useRef(onSettle);
  send.current = onSettle;
  const shown = (number) => Number(number).toLocaleString("en-US", { maximumFractionDigits: 6 });
  const settle = () => {
    clearTimeout(timer.current);
    const text = input.current.value.replace(/[\s,_]/g, "");
    const number = Number(text);
    const good = text !== "" && Number.isFinite(number) && number >= least && number <= most && (!whole || Number.isInteger(number));
    input.current.setAttribute("aria-invalid", String(!good));
    if (!good || number === sent.current) return;
    sent.current = number;
    send.current?.(number);
  };
  useEffect(() => {
    sent.current = value;
    if (input.current && document.activeElement !== input.current) {
      input.current.value = shown(value);
      input.current.setAttribute("aria-invalid", "false");
    }
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <label className="grid gap-1">
      <span className="text-[12px] text-ink-3">{label}</span>
      <span className="flex items-center gap-1.5">
        <input
          {...rest}
          id={id}
          ref={input}
          type="text"
          inputMode={whole ? "numeric" : "decimal"}
          defaultValue={shown(value)}
          autoComplete="off"
          maxLength={14}
          className={className}
          onInput={() => {
            clearTimeout(timer.current);
            timer.current = setTimeout(settle, 350);
          }}
          onBlur={() => {
            settle();
            if (input.current.getAttribute("aria-invalid") !== "true") input.current.value = shown(sent.current);
          }}
          onKeyDown={(event) => event.key === "Enter" && settle()}
        />
        {unit ? <span className="text-[12.5px] text-ink-3">{unit}</span> : null}
      </span>
    </label>
  );
}
