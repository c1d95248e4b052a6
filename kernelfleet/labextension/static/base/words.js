/** Numbers, times and states as words. */

/** `1 engine`, `4 engines` */
export function count(n, noun) {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/** A duration in seconds: `0.4 s`, `12 s`, `3:07`, `2 h 05`, `3 d 4 h`. */
export function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 9.95) {
    return `${s.toFixed(1)} s`;
  }
  const whole = Math.round(s);
  if (whole < 60) {
    return `${whole} s`;
  }
  const two = number => String(number).padStart(2, '0');
  if (whole < 3600) {
    return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
  }
  const hours = Math.floor(whole / 3600);
  if (hours < 24) {
    return `${hours} h ${two(Math.floor((whole % 3600) / 60))}`;
  }
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A short duration, as in a timeline: `350 µs`, `12 ms`, else as `duration`. */
export function shortDuration(seconds) {
  if (seconds < 0.001) {
    return `${Math.round(seconds * 1e6)} µs`;
  }
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : duration(seconds);
}

/** A size: `61 MiB`, `1.5 GiB`. */
export function bytes(size) {
  const mib = size / 2 ** 20;
  return mib < 1000 ? `${Math.round(mib)} MiB` : `${(mib / 1024).toFixed(1)} GiB`;
}

/** Code on one line; the signs stand where lines end. */
export function oneLine(code) {
  return code.trim().split(/\s*\n\s*/).join(' ⏎ ');
}

/** How many engines are in which state, the working ones first: `2 busy, 1 idle`. */
export function countsText(counts) {
  const order = ['busy', 'idle', 'starting'];
  const rank = state => (order.indexOf(state) + 1 || order.length + 1);
  const states = Object.keys(counts).filter(state => counts[state] > 0);
  return states.sort((a, b) => rank(a) - rank(b)).map(state => `${counts[state]} ${state}`).join(', ');
}
