import { Component } from "react";

// A page that breaks says so and offers the way out, instead of going blank. The error itself is in the browser's console.
export class Boundary extends Component {
  state = { broken: false };
  static getDerivedStateFromError() {
    return { broken: true };
  }
  render() {
    if (!this.state.broken) return this.props.children;
    return (
      <main className="mx-auto grid max-w-[520px] gap-3 px-6 py-24">
        <h1 className="text-[22px] font-semibold">This page broke</h1>
        <p className="text-ink-2">Loading it again usually helps. If it does not, the browser's console says why.</p>
        <p>
          <button type="button" className="h-8 rounded border border-accent bg-accent px-3 font-medium text-on-accent" onClick={() => window.location.reload()}>
            Load again
          </button>
        </p>
      </main>
    );
  }
}
