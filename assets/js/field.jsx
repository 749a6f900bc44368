import { useEffect, useRef } from "react";
import { isTyping } from "$/public/js/keyboard.js";

// A search field that owns its text: nothing is sent until the person pauses, so typing never waits for the server. `value` is what
// the server knows; it is taken over only while nobody is writing. One with an `inputMode` takes a number and searches nothing. Enter sends at once, Escape empties.
export function Field({ value = "", label, placeholder, delay = 200, shortcut, onSettle, className, ref: _ref, ...rest }) {
  const input = useRef(null), timer = useRef(0), sent = useRef(value), send = useRef(onSettle);
  send.current = onSettle;
  const settle = () => {
    clearTimeout(timer.current);
    const text = input.current.value;
    if (text === sent.current) return;
    sent.current = text;
    send.current?.(text);
  };
  useEffect(() => {
    sent.current = value;
    if (input.current && document.activeElement !== input.current) input.current.value = value;
  }, [value]);
  useEffect(() => {
    if (!shortcut) return;
    const onKey = (event) => {
      if (event.key !== shortcut || isTyping(event) || event.metaKey || event.ctrlKey || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      input.current.focus();
      input.current.select();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [shortcut]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <input
      {...rest}
      ref={input}
      type={rest.inputMode ? "text" : "search"}
      aria-label={label}
      data-shortcut={shortcut}
      placeholder={placeholder}
      className={className}
      defaultValue={value}
      autoComplete="off"
      spellCheck={false}
      maxLength={200}
      onInput={() => {
        clearTimeout(timer.current);
        timer.current = setTimeout(settle, delay);
      }}
      onKeyDown={(event) => {
        if (event.key === "Enter") settle();
        if (event.key === "Escape") {
          input.current.value = "";
          settle();
        }
      }}
    />
  );
}
