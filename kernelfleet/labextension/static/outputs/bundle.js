/** Reading the bundle of what several engines have put out; docs/architecture.md has its format. */

import { joined } from './views.js';

export const MIME_TYPE = 'application/vnd.kernelfleet.engines+json';

/** The engines of a bundle as one text: `0-2,5`. */
export function idsText(ids) {
  const runs = [];
  for (const id of [...ids].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && id === last[1] + 1) {
      last[1] = id;
    } else {
      runs.push([id, id]);
    }
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}

/** What is wrong with a bundle; `null` if it can be shown. */
export function complaint(bundle) {
  if (bundle?.version > 1) {
    return 'These outputs were written by a newer kernelfleet: update the one of this JupyterLab to see them.';
  }
  return Array.isArray(bundle?.engines) ? null : 'These outputs of engines cannot be read.';
}

/**
 * The bundle with what it has only once, in the text and in the HTML beside it: the collapsed lines, and pictures. No script of
 * that HTML runs and no address in it is fetched.
 */
export function complete(bundle, data) {
  if (!Array.isArray(bundle?.engines)) {
    return bundle;
  }
  const page = new DOMParser().parseFromString(joined(data['text/html']), 'text/html');
  const sources = [...page.querySelectorAll('img')].map(image => image.getAttribute('src') ?? '');
  const content = (mime, value) => {
    const source = Number.isInteger(value?.img) ? (sources[value.img] ?? '') : null;
    const start = mime === 'image/svg+xml' ? `data:${mime},` : `data:${mime};base64,`;
    if (source === null) {
      return value;
    }
    const text = source.startsWith(start) ? source.slice(start.length) : '';
    return mime === 'image/svg+xml' ? decoded(text) : text;
  };
  const whole = item =>
    item?.data
      ? { ...item, data: Object.fromEntries(Object.entries(item.data).map(([mime, value]) => [mime, content(mime, value)])) }
      : item;
  const engines = bundle.engines.map(each => ({ ...each, items: (each.items ?? []).map(whole) }));
  const collapsed = bundle.collapsed === 'text/plain' ? [{ lines: joined(data['text/plain']).split('\n') }] : bundle.collapsed;
  return { ...bundle, engines, collapsed };
}

/** A text whose signs are written as in an address; nothing if it is not well formed. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}
