/**
 * The renderer of `application/vnd.kernelfleet.engines+json`: what several engines have put out, collapsed, with a switch
 * to a tab per engine. docs/architecture.md has the format.
 *
 * It is told to be safe for notebooks that are not trusted, so nothing of the bundle becomes HTML except through
 * JupyterLab's sanitizer.
 */

import { shared } from '../base/shared.js';
import { make } from '../base/dom.js';
import { collapsedView, engineView, joined } from './views.js';
import { tabList } from './tabs.js';

const { Widget } = await shared('@lumino/widgets');

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
    return mime === 'image/svg+xml' ? decodeURIComponent(text) : text;
  };
  const whole = item =>
    item?.data
      ? { ...item, data: Object.fromEntries(Object.entries(item.data).map(([mime, value]) => [mime, content(mime, value)])) }
      : item;
  const engines = bundle.engines.map(each => ({ ...each, items: (each.items ?? []).map(whole) }));
  const collapsed = bundle.collapsed === 'text/plain' ? [{ lines: joined(data['text/plain']).split('\n') }] : bundle.collapsed;
  return { ...bundle, engines, collapsed };
}

class EnginesOutput extends Widget {
  constructor(options) {
    super();
    this.addClass('kf-outputs');
    this._sanitizer = options.sanitizer;
  }

  async renderModel(model) {
    const bundle = complete(model.data[MIME_TYPE], model.data);
    const wrong = complaint(bundle);
    this.node.replaceChildren(wrong ? make('pre', {}, wrong) : this._draw(bundle));
  }

  _draw(bundle) {
    const { engines, collapsed } = bundle;
    const tabs = engines.map(({ engine, items }) => ({
      key: String(engine),
      label: `Engine ${engine}`,
      failed: items.some(item => item.output_type === 'error'),
      draw: () => engineView(items, this._sanitizer)
    }));
    if (Array.isArray(collapsed)) {
      const draw = () => collapsedView(collapsed, engines, this._sanitizer);
      tabs.unshift({ key: 'all', label: `All [${idsText(engines.map(each => each.engine))}]`, draw });
    }
    return tabs.length === 1 ? tabs[0].draw() : tabList(tabs);
  }
}

export default [
  {
    id: 'kernelfleet:outputs',
    description: 'Shows what several engines have put out, collapsed or in a tab per engine.',
    dataType: 'json',
    rank: 40, // before text/html, which is in the same bundle for everybody else
    rendererFactory: {
      safe: true,
      mimeTypes: [MIME_TYPE],
      createRenderer: options => new EnginesOutput(options)
    }
  }
];
