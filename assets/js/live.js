import { useEffect } from "react";
import { useLocation } from "react-router";

let last = null;

// Marks the document once the server has answered the page's first questions: what is shown is live from here on. And who came from
// another page, whose link has gone with it, is put at the beginning of this one's content, or the keyboard would stand nowhere.
export function Live({ arrivals }) {
  const { key } = useLocation();
  useEffect(() => {
    if (arrivals) document.documentElement.dataset.live = String(arrivals);
  }, [arrivals]);
  useEffect(() => {
    const before = last;
    last = key;
    const nowhere = !document.activeElement || document.activeElement === document.body;
    if (before !== null && before !== key && nowhere) document.getElementById("main")?.focus({ preventScroll: true });
  }, [key]);
  return null;
}
