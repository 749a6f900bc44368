import { useContext, useEffect, useState } from "react";
import { ColorModeContext } from "$/utils/context";

const NEXT = { system: "light", light: "dark", dark: "system" };
const NAME = { system: "as the system", light: "light", dark: "dark" };
const ICON = {
  system: <path d="M3 4h12v8H3zM6.5 15h5" />,
  light: <path d="M9 5.8a3.2 3.2 0 1 0 0 6.4a3.2 3.2 0 1 0 0-6.4M9 1.5v1.6M9 14.9v1.6M1.5 9h1.6M14.9 9h1.6M3.7 3.7l1.1 1.1M13.2 13.2l1.1 1.1M3.7 14.3l1.1-1.1M13.2 4.8l1.1-1.1" />,
  dark: <path d="M14.8 10.9A6.3 6.3 0 0 1 7.1 3.2a6.3 6.3 0 1 0 7.7 7.7Z" />,
};

// One button through system, light and dark. The server does not know the choice, so the button settles after mounting.
export function ThemeButton({ className, ref: _ref }) {
  const { rawColorMode, setColorMode } = useContext(ColorModeContext);
  const [mode, setMode] = useState("system");
  useEffect(() => setMode(NEXT[rawColorMode] ? rawColorMode : "system"), [rawColorMode]);
  const says = `Theme: ${NAME[mode]}. Change to ${NAME[NEXT[mode]]}.`;
  return (
    <button type="button" className={className} aria-label={says} title={says} data-testid="theme" data-mode={mode} onClick={() => setColorMode(NEXT[mode])}>
      <svg width="18" height="18" viewBox="0 0 18 18" fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
        {ICON[mode]}
      </svg>
    </button>
  );
}
