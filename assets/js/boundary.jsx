import { Component } from "react";

// A page that breaks says so and offers the way out, instead of going blank. The error itself reaches the server's log.
export class Boundary extends Component {
  state = { broken: false };
  static getDerivedStateFromError() {
    return { broken: true };
  }
  componentDidCatch(error) {
    window.onerror?.(error.message, null, null, null, error);
  }
  render() {
    if (!this.state.broken) return this.props.children;
    return (
      <main className="mx-auto grid max-w-[520px] gap-3 px-6 py-24">
        <h1 className="text-[22px] font-semibold">This page broke</h1>
        <p className="text-ink-2">The error was reported to the server's log. Loading the page again usually helps.</p>
        <p>
          <button type="button" className="h-8 rounded border border-accent bg-accent px-3 font-medium text-on-accent" onClick={() => window.location.reload()}>
            Load again
          </button>
        </p>
      </main>
    );
  }
}
