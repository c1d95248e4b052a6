/** The timeline of a fleet: a lane per engine, a bar per piece of work, live, to be zoomed and moved. */

import { Widget } from '../base/lab.js';
import { make, setText } from '../base/dom.js';
import { timelineIcon } from '../base/icons.js';
import { count, duration, shortDuration } from '../base/words.js';
import { enginesOf } from '../fleets/state.js';
import { CallColours } from './colours.js';
import { AXIS, GUTTER, LANE, draw, themeAt } from './drawing.js';
import { busyShare, endOf, fitting, zoomed } from './geometry.js';

/** How much time is shown at first, in seconds. */
const FIRST_WINDOW = 30;
/** While time goes by, it is drawn so often. */
const FRAME_MS = 50;
/** Its description in words changes so often. */
const TELL_MS = 500;

/** How what did not end well is told. */
const FAILURES = { error: 'failed', interrupted: 'interrupted', lost: 'lost with its engine' };

export class Timeline extends Widget {
  /**
   * @param {Fleets} fleets the fleets
   * @param {string} name the fleet that is shown
   */
  constructor(fleets, name) {
    super();
    this.id = `kernelfleet-timeline-${name}`;
    this.addClass('kf-timeline');
    this.title.label = `Timeline of ${name}`;
    this.title.icon = timelineIcon;
    this.title.closable = true;
    this.node.dataset.kfTimeline = name;
    this._fleets = fleets;
    this._name = name;
    this._colours = new CallColours();
    this._length = FIRST_WINDOW;
    /** The end of what is shown; `null` follows the clock. */
    this._to = null;
    this._drawn = [];
    this._frame = 0;
    this._last = 0;
    this._told = -Infinity;
    this._build();
    fleets.changed.connect(this._schedule, this);
  }

  _build() {
    const button = (label, title, act) => make('button.kf-text-button', { type: 'button', title, click: act }, label);
    this._live = button('Live', 'Follow the clock (L)', () => this._show(this._length, null));
    this._live.setAttribute('aria-pressed', 'true');
    this._words = make('span.kf-timeline-words', { role: 'status' });
    this._canvas = make('canvas', { 'aria-hidden': 'true' });
    this._spacer = make('div.kf-timeline-spacer');
    this._scroller = make(
      'div.kf-timeline-lanes',
      { tabindex: 0, role: 'img', scroll: () => this._schedule(), keydown: event => this._key(event) },
      this._canvas, this._spacer
    );
    this._tip = make('div.kf-timeline-tip', { role: 'tooltip', hidden: true });
    this.node.append(
      make(
        'div.kf-timeline-head', { role: 'toolbar', 'aria-label': 'Timeline' },
        this._live,
        button('All', 'Show all that is known (F)', () => this._fit()),
        button('+', 'Show less time (+)', () => this._zoom(0.5)),
        button('−', 'Show more time (−)', () => this._zoom(2)),
        this._words
      ),
      this._scroller, this._tip
    );
    this._canvas.addEventListener('wheel', event => this._wheel(event), { passive: false });
    this._canvas.addEventListener('pointerdown', event => this._drag(event));
    this._canvas.addEventListener('pointermove', event => this._point(event));
    this._canvas.addEventListener('pointerleave', () => (this._tip.hidden = true));
  }

  onAfterShow() {
    this._look ??= this._fleets.look(this._name);
    this._schedule();
  }

  onBeforeHide() {
    this._look?.dispose();
    this._look = null;
  }

  onAfterAttach() {
    if (this.isVisible) {
      this.onAfterShow();
    }
  }

  onBeforeDetach() {
    this.onBeforeHide();
  }

  onResize() {
    this._schedule();
  }

  onActivateRequest() {
    this._scroller.focus();
  }

  dispose() {
    this._fleets.changed.disconnect(this._schedule, this);
    cancelAnimationFrame(this._frame);
    super.dispose();
  }

  // -- what is shown ------------------------------------------------------------------------------

  get _window() {
    const to = this._to ?? this._fleets.now();
    return { from: to - this._length, to };
  }

  /** Show so many seconds up to a time; up to now if it is `null`. */
  _show(length, to) {
    this._length = length;
    this._to = to;
    this._told = -Infinity;
    this._live.setAttribute('aria-pressed', String(to === null));
    this._schedule();
  }

  _zoom(factor, about = null) {
    const window = this._window;
    const { from, to } = zoomed(window, factor, about ?? (this._to === null ? window.to : (window.from + window.to) / 2));
    this._show(to - from, this._to === null ? null : to);
  }

  _move(seconds) {
    this._show(this._length, this._window.to + seconds);
  }

  _fit() {
    const window = fitting(this._spans(), this._fleets.now());
    if (window) {
      this._show(window.to - window.from, window.to);
    }
  }

  _spans() {
    const fleet = this._fleets.get(this._name);
    return fleet ? spansOf(fleet) : [];
  }

  // -- mouse and keys -----------------------------------------------------------------------------

  _timeAt(x) {
    const { from, to } = this._window;
    return from + ((x - GUTTER) / (this._canvas.clientWidth - GUTTER)) * (to - from);
  }

  _wheel(event) {
    if (event.ctrlKey || event.altKey) {
      event.preventDefault();
      this._zoom(event.deltaY > 0 ? 1.25 : 0.8, this._timeAt(event.offsetX));
    } else if (event.deltaX) {
      event.preventDefault();
      this._move((event.deltaX / this._canvas.clientWidth) * this._length);
    }
  }

  _drag(event) {
    const start = event.clientX;
    const { to } = this._window;
    this._canvas.setPointerCapture(event.pointerId);
    const move = ({ clientX }) => {
      if (Math.abs(clientX - start) > 3) {
        this._show(this._length, to - ((clientX - start) / (this._canvas.clientWidth - GUTTER)) * this._length);
      }
    };
    const end = () => this._canvas.removeEventListener('pointermove', move);
    this._canvas.addEventListener('pointermove', move);
    this._canvas.addEventListener('pointerup', end, { once: true });
    this._canvas.addEventListener('pointercancel', end, { once: true });
  }

  _point({ offsetX: x, offsetY: y, clientX, clientY }) {
    const bar = this._drawn.findLast(each => x >= each.x - 1 && x <= each.x + each.width + 1 && y >= each.y && y < each.y + LANE);
    this._tip.hidden = !bar;
    if (bar) {
      this._tip.replaceChildren(...this._tipOf(bar));
      const box = this.node.getBoundingClientRect();
      const left = Math.min(clientX - box.left + 12, box.width - this._tip.offsetWidth - 8);
      const below = clientY - box.top + 16;
      const top = below + this._tip.offsetHeight > box.height ? below - this._tip.offsetHeight - 28 : below;
      this._tip.style.transform = `translate(${Math.max(0, left)}px, ${Math.max(0, top)}px)`;
    }
  }

  _tipOf({ span, engine, many }) {
    const end = endOf(span, this._fleets.now());
    const took = shortDuration(end - span.started);
    const how = span.ended === null ? `has run for ${took}` : span.ok ? took : `${FAILURES[span.outcome] ?? 'failed'} after ${took}`;
    const what = many > 1 ? `${count(many, 'piece')} of work, the first: ${how}` : how;
    const error = span.error ? ` (${span.error})` : '';
    return [make('code', {}, span.label), make('div', {}, `Engine ${engine} · ${what}${error}`)];
  }

  _key(event) {
    const act = {
      '+': () => this._zoom(0.5), '=': () => this._zoom(0.5), '-': () => this._zoom(2),
      ArrowLeft: () => this._move(-this._length / 8), ArrowRight: () => this._move(this._length / 8),
      l: () => this._show(this._length, null), f: () => this._fit(), Home: () => this._fit()
    }[event.key];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) {
      act();
      event.preventDefault();
      event.stopPropagation();
    }
  }

  // -- drawing ------------------------------------------------------------------------------------

  _schedule() {
    if (this.isVisible && !this._frame) {
      this._frame = requestAnimationFrame(time => this._tick(time));
    }
  }

  /** Draw, and go on while time goes by on the picture. */
  _tick(time) {
    this._frame = 0;
    if (!this.isVisible || document.visibilityState === 'hidden') {
      return;
    }
    if (time - this._last >= FRAME_MS || this._to !== null) {
      this._last = time;
      this._draw();
    }
    if (this._to === null) {
      this._schedule();
    }
  }

  _draw() {
    const fleet = this._fleets.get(this._name);
    const now = this._fleets.now();
    const window = this._window;
    const lanes = fleet ? lanesOf(fleet, window, now) : [];
    this._spacer.style.height = `${AXIS + lanes.length * LANE}px`;
    const { clientWidth: width, clientHeight: height, scrollTop: top } = this._scroller;
    const scale = globalThis.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (this._canvas.width !== w || this._canvas.height !== h) {
      Object.assign(this._canvas, { width: w, height: h });
      Object.assign(this._canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    const context = this._canvas.getContext('2d');
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const theme = themeAt(this.node);
    this._drawn = draw(context, { lanes, window, now, width, height, top, colours: this._colours, theme });
    if (performance.now() - this._told >= TELL_MS) {
      this._told = performance.now();
      this._tell(fleet, lanes);
    }
  }

  /** The picture in words: for those who cannot see it, and for tests. */
  _tell(fleet, lanes) {
    const what = fleet ? `${duration(this._length)}, ${count(this._drawn.length, 'bar')}` : `The fleet ${this._name} has ended.`;
    setText(this._words, what);
    this.node.dataset.kfSpans = fleet?.spans.size ?? 0;
    const shares = lanes.map(({ engine, share }) => `engine ${engine} ${Math.round(100 * share)} % busy`);
    this._scroller.setAttribute('aria-label', `${what}: ${shares.join(', ')}`);
  }
}

/** What has ended, and what runs. */
function spansOf(fleet) {
  return [...fleet.spans.values(), ...fleet.running];
}

/** The engines of a fleet, with what each has worked on and which part of the window it was busy. */
function lanesOf(fleet, window, now) {
  const lanes = new Map(enginesOf(fleet).map(({ id }) => [id, { engine: id, spans: [] }]));
  for (const span of spansOf(fleet)) {
    lanes.get(span.engine)?.spans.push(span);
  }
  return [...lanes.values()].map(lane => ({ ...lane, share: busyShare(lane.spans, { ...window, now }) }));
}
