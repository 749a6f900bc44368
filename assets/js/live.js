import { useEffect } from "react";

// Marks the document once the server has answered the page's first questions: what is shown is live from here on.
export function Live({ arrivals }) {
  useEffect(() => {
    if (arrivals) document.documentElement.dataset.live = String(arrivals);
  }, [arrivals]);
  return null;
}
