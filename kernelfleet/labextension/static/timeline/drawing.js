/** Draws a timeline on a canvas: lanes, bars, axis. */

import { bars, clock, marks } from './geometry.js';

export const LANE = 22;
export const AXIS = 22;
export const GUTTER = 84;

/** Bars as narrow as this have no text. */
const TEXT_PIXELS = 40;

/**
 * @param {CanvasRenderingContext2D} context where to draw, in CSS pixels
 * @param {object} scene `lanes` (engine, spans, share), `window` (from, to), `now`, `width`, `height`, `top` (how far it is
 *     scrolled), `colours`, `theme` (colours and font of JupyterLab)
 * @returns {Array} the bars that were drawn, with `x`, `y`, `width`, `span`: what the mouse can point at
 */
export function draw(context, scene) {
  const { lanes, width, height, top, theme } = scene;
  context.clearRect(0, 0, width, height);
  context.font = theme.font;
  context.textBaseline = 'middle';
  drawAxis(context, scene);
  const first = Math.max(0, Math.floor(top / LANE));
  const last = Math.min(lanes.length, Math.ceil((top + height - AXIS) / LANE));
  const drawn = [];
  context.save();
  context.beginPath();
  context.rect(0, AXIS, width, height - AXIS);
  context.clip();
  for (let i = first; i < last; i++) {
    drawn.push(...drawLane(context, scene, lanes[i], AXIS + i * LANE - top));
  }
  context.restore();
  return drawn;
}

function drawAxis(context, { window, width, height, theme }) {
  const room = width - GUTTER;
  const { step, times } = marks(window.from, window.to, room);
  context.fillStyle = theme.muted;
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.textAlign = 'center';
  for (const time of times) {
    const x = Math.round(GUTTER + ((time - window.from) / (window.to - window.from)) * room) + 0.5;
    context.fillText(clock(time, step), x, AXIS / 2);
    context.beginPath();
    context.moveTo(x, AXIS);
    context.lineTo(x, height);
    context.stroke();
  }
}

function drawLane(context, { window, now, width, colours, theme }, { engine, spans, share }, y) {
  context.textAlign = 'left';
  context.fillStyle = theme.text;
  context.fillText(String(engine), 6, y + LANE / 2);
  context.fillStyle = theme.muted;
  context.textAlign = 'right';
  context.fillText(`${Math.round(100 * share)} %`, GUTTER - 8, y + LANE / 2);
  context.textAlign = 'left';
  const found = bars(spans, { ...window, width: width - GUTTER, now });
  for (const bar of found) {
    drawBar(context, bar, y, colours, theme);
  }
  return found.map(bar => ({ ...bar, x: GUTTER + bar.x, y, engine }));
}

function drawBar(context, { x, width, span, many }, y, colours, theme) {
  const left = GUTTER + x;
  context.fillStyle = colours.of(span.call);
  context.globalAlpha = span.ended === null ? 0.65 : 1;
  context.fillRect(left, y + 3, Math.max(1, width - (width > 3 ? 1 : 0)), LANE - 6);
  context.globalAlpha = 1;
  if (span.ok === false) {
    context.fillStyle = theme.error;
    context.fillRect(left, y + LANE - 5, Math.max(2, width - 1), 3);
  }
  if (width > TEXT_PIXELS && many === 1) {
    context.save();
    context.beginPath();
    context.rect(left, y, width - 4, LANE);
    context.clip();
    context.fillStyle = '#000';
    context.fillText(span.ok === false ? `✕ ${span.label}` : span.label, left + 4, y + LANE / 2);
    context.restore();
  }
}

/** The colours and the font of JupyterLab's theme at a node. */
export function themeAt(node) {
  const style = getComputedStyle(node);
  const value = name => style.getPropertyValue(name).trim();
  return {
    font: `${value('--jp-ui-font-size0') || '11px'} ${style.fontFamily}`,
    text: value('--jp-ui-font-color0') || '#000',
    muted: value('--jp-ui-font-color1') || '#555',
    line: value('--jp-border-color2') || '#ddd',
    error: value('--jp-error-color1') || '#c00'
  };
}
