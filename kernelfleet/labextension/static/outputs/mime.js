/**
 * The renderer of `application/vnd.kernelfleet.engines+json`: what several engines have put out, collapsed, with a switch
 * to a tab per engine. docs/architecture.md has the format.
 *
 * It is told to be safe for notebooks that are not trusted, so nothing of the bundle becomes HTML except through
 * JupyterLab's sanitizer.
 */

import { shared } from '../base/shared.js';
import { make } from '../base/dom.js';
import { MIME_TYPE, complaint, complete, idsText } from './bundle.js';
import { tabList } from './tabs.js';
import { collapsedView, engineView } from './views.js';

const { Widget } = await shared('@lumino/widgets');

class EnginesOutput extends Widget {
  constructor(options) {
    super();
    this.addClass('kf-outputs');
    this._sanitizer = options.sanitizer;
  }

  async renderModel(model) {
    this.node.replaceChildren(this._contentOf(model.data));
  }

  _contentOf(data) {
    try {
      const bundle = complete(data[MIME_TYPE], data);
      const wrong = complaint(bundle);
      return wrong ? make('pre', {}, wrong) : this._draw(bundle);
    } catch {
      return make('pre', {}, complaint(null)); // somebody has edited the file
    }
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
