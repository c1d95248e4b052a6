/** Where the bars of a timeline are. Pure: no page, no clock. */

/** Steps between the marks of the axis, in seconds. */
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600];

/** Marks are at least so many pixels apart. */
const MARK_PIXELS = 90;

export const SHORTEST_WINDOW = 0.01;
export const LONGEST_WINDOW = 24 * 3600;

/** When a span ends; what runs has not ended by `now`. */
export const endOf = (span, now) => span.ended ?? Math.max(now, span.started);

/** The times at which the axis has a mark, and how far they are apart. */
export function marks(from, to, width) {
  const most = Math.max(1, width / MARK_PIXELS);
  const step = STEPS.find(each => (to - from) / each <= most) ?? STEPS.at(-1);
  const times = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) {
    times.push(i * step);
  }
  return { step, times };
}

/** What the axis says of a time: `14:02:05`, and parts of a second where marks are so close. */
export function clock(time, step) {
  const date = new Date(time * 1000);
  const two = number => String(number).padStart(2, '0');
  const text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const digits = step >= 1 ? 0 : Math.ceil(-Math.log10(step) - 1e-9);
  return digits ? text + (time % 1).toFixed(digits).slice(1) : text;
}

/**
 * The bars of one engine between two times, with `x` and `width` in pixels. Neighbours of the same call that would be
 * less than a pixel apart become one bar, so that thousands of short spans cost no more than the pixels that they fill.
 */
export function bars(spans, { from, to, width, now }) {
  const scale = width / (to - from);
  const found = [];
  for (const span of spans) {
    const end = endOf(span, now);
    if (end < from || span.started > to) {
      continue;
    }
    const x = Math.max(0, (span.started - from) * scale);
    const right = Math.max(x + 1, Math.min(width, (end - from) * scale));
    const last = found.at(-1);
    const close = last && x - (last.x + last.width) < 1 && right - x < 2 && last.width < 2000;
    if (close && last.span.call === span.call && last.span.ok === span.ok) {
      last.width = right - last.x;
      last.many += 1;
    } else {
      found.push({ x, width: right - x, span, many: 1 });
    }
  }
  return found;
}

/** Which part of the time between two times an engine has worked. */
export function busyShare(spans, { from, to, now }) {
  let worked = 0;
  for (const span of spans) {
    worked += Math.max(0, Math.min(to, endOf(span, now)) - Math.max(from, span.started));
  }
  return to > from ? Math.min(1, worked / (to - from)) : 0;
}

/** A window zoomed by a factor about a time in it. */
export function zoomed({ from, to }, factor, about) {
  const length = Math.min(LONGEST_WINDOW, Math.max(SHORTEST_WINDOW, (to - from) * factor));
  const share = (about - from) / (to - from);
  return { from: about - share * length, to: about + (1 - share) * length };
}

/** The window in which all spans are, and a little more; `null` without spans. */
export function fitting(spans, now) {
  let from = Infinity;
  let to = -Infinity;
  for (const span of spans) {
    from = Math.min(from, span.started);
    to = Math.max(to, endOf(span, now));
  }
  if (from > to) {
    return null;
  }
  const margin = Math.max(0.02 * (to - from), SHORTEST_WINDOW / 2);
  return { from: from - margin, to: to + margin };
}
