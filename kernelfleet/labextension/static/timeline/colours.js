/** A colour per call. They differ in lightness too, and each bar that failed has a mark besides. */

/** To be read on light and on dark ground. */
const COLOURS = ['#4c8dd6', '#d98b2b', '#4fa86b', '#c25b8f', '#8b78d0', '#b5a642', '#3fa7b5', '#a9745b'];

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
