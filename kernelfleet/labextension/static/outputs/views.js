/** The elements that show Jupyter outputs of engines. */

import { make } from '../base/dom.js';
import { coloured } from './ansi.js';

const PICTURES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/svg+xml'];

/** A text in a notebook file may be a list of lines. */
export const joined = text => (Array.isArray(text) ? text.join('') : String(text ?? ''));

/** The outputs of one engine, one below the other. */
export function engineView(items, sanitizer) {
  const outputs = items.map(item => outputView(item, sanitizer));
  return make('div.kf-engine-outputs', {}, ...(outputs.length ? outputs : [quiet('(no output)')]));
}

/** The blocks of the collapsed form. */
export function collapsedView(blocks, engines, sanitizer) {
  const itemOf = ({ engine, item }) => engines.find(each => each.engine === engine)?.items[item];
  const views = blocks.map(block => {
    if (block.lines) {
      return textView(block.lines.join('\n'));
    }
    if (block.pictures) {
      return make('div.kf-pictures', {}, ...block.pictures.map(picture => figure(picture, itemOf(picture), sanitizer)));
    }
    return outputView(itemOf(block), sanitizer);
  });
  return make('div.kf-collapsed', {}, ...(views.length ? views : [quiet('(no output)')]));
}

function figure({ label }, item, sanitizer) {
  return make('figure', {}, make('figcaption', {}, String(label ?? '')), outputView(item, sanitizer));
}

/** One output, as in a notebook file. */
export function outputView(item, sanitizer) {
  switch (item?.output_type) {
    case 'stream':
      return textView(joined(item.text).replace(/\n$/, ''), item.name === 'stderr' ? 'kf-stderr' : '');
    case 'error':
      return textView(joined(item.traceback?.map(line => `${line}\n`)) || `${item.ename}: ${item.evalue}`, 'kf-error');
    case 'display_data':
    case 'execute_result':
      return dataView(item.data ?? {}, item.metadata ?? {}, sanitizer);
    default:
      return quiet('(an output that cannot be shown here)');
  }
}

function dataView(data, metadata, sanitizer) {
  const mime = PICTURES.find(each => each in data);
  if (mime) {
    return picture(mime, joined(data[mime]), metadata[mime] ?? metadata, joined(data['text/plain']));
  }
  if ('text/html' in data && sanitizer) {
    const node = make('div.kf-html.jp-RenderedHTMLCommon');
    node.innerHTML = sanitizer.sanitize(joined(data['text/html']));
    return node;
  }
  return textView(joined(data['text/plain'] ?? '(an output that is not text)'));
}

function picture(mime, content, { width, height }, text) {
  // An image cannot run anything, whatever is in it.
  const source = mime === 'image/svg+xml' ? encodeURIComponent(content) : `;base64,${content.replace(/\s/g, '')}`;
  const src = mime === 'image/svg+xml' ? `data:${mime},${source}` : `data:${mime}${source}`;
  const size = value => (Number.isFinite(value) ? value : null);
  return make('img', { src, alt: text, width: size(width), height: size(height) });
}

function textView(text, name = '') {
  const node = make('pre', {}, ...coloured(text));
  if (name) {
    node.classList.add(name);
  }
  return node;
}

function quiet(text) {
  return make('div.kf-quiet', {}, text);
}
