/** A colour per call. They differ in lightness too, and each bar that failed has a mark besides. */

/** Those of `kernelfleet/display/timeline.py`; to be read on light and on dark ground. */
const COLOURS = [
  '#4878cf', '#e8873a', '#3f9e6b', '#b05bb5', '#c9a227', '#3aa5b8', '#d1627f', '#8a6d5a', '#7d7fd6', '#7a9a3c'
];

/** Colours in the order in which calls are first seen, so that calls after each other differ. */
export class CallColours {
  constructor() {
    this._known = new Map();
  }

  of(call) {
    if (!this._known.has(call)) {
      this._known.set(call, COLOURS[this._known.size % COLOURS.length]);
    }
    return this._known.get(call);
  }
}
