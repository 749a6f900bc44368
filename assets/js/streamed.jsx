import { useEffect, useRef, useState } from "react";

const FENCE = /^```[^\n]*\n?/;

// The text of one column. A piece says where it belongs ("start", in UTF-16 units) and reaches back over the last few, because React may
// draw two changes as one; a piece beyond what is here waits for one that reaches back far enough.
export function Streamed({ number, round, pieces = [], label, className, ref: _ref }) {
  const text = useRef(""), of = useRef(round), box = useRef(null), [, draw] = useState(0);
  useEffect(() => {
    if (of.current !== round) {
      of.current = round;
      text.current = "";
    }
    for (const piece of pieces)
      if (piece.number === number && piece.round === round && piece.start <= text.current.length) {
        const next = text.current.slice(0, piece.start) + piece.text;
        if (next.length >= text.current.length || piece.start === 0) text.current = next;
      }
    const element = box.current, atEnd = element && element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    draw((count) => count + 1);
    if (atEnd) requestAnimationFrame(() => (element.scrollTop = element.scrollHeight));
  }, [number, round, pieces]);
  // Plain text with its code blocks, and nothing that a model could make markup of.
  const parts = text.current.split(/(```[^\n]*\n[\s\S]*?(?:```|$))/);
  return (
    <div ref={box} tabIndex={0} role="region" aria-label={label} className={className} data-testid="answer">
      {parts.map((part, i) =>
        i % 2 ? (
          <pre key={i} className="my-2 overflow-x-auto rounded bg-sunken p-2.5 font-mono text-[12.5px] leading-[1.6]">
            {part.replace(FENCE, "").replace(/\n?```$/, "")}
          </pre>
        ) : part ? (
          <span key={i} className="whitespace-pre-wrap wrap-anywhere">{part}</span>
        ) : null,
      )}
    </div>
  );
}
