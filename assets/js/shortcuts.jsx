import { useEffect, useRef } from "react";
import { isTyping } from "$/public/js/keyboard.js";

// The sheet that `?` opens. `lines` is [[keys, what], …].
export function Shortcuts({ lines, ref: _ref }) {
  const dialog = useRef(null);
  useEffect(() => {
    const onKey = (event) => {
      if (event.key !== "?" || isTyping(event) || event.metaKey || event.ctrlKey || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      dialog.current.showModal();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-label="Keyboard shortcuts"
      data-testid="shortcuts"
      className="w-[380px] rounded-lg border border-line-strong shadow-float"
      onClick={(event) => event.target === dialog.current && dialog.current.close()}
    >
      <div className="p-5">
        <div className="flex items-center">
          <h2 className="text-[15px]">Keyboard shortcuts</h2>
          <button type="button" autoFocus className="ml-auto rounded px-2 py-1 text-[13px] text-ink-2 hover:bg-sunken" onClick={() => dialog.current.close()}>
            Close
          </button>
        </div>
        <dl className="mt-3 grid grid-cols-[auto_1fr] items-center gap-x-4 gap-y-2">
          {lines.map(([keys, what]) => [
            <dt key={keys}>
              <kbd className="rounded-sm border border-line-strong bg-paper px-1.5 py-0.5 font-mono text-[12px]">{keys}</kbd>
            </dt>,
            <dd key={what} className="text-ink-2">
              {what}
            </dd>,
          ])}
        </dl>
      </div>
    </dialog>
  );
}
