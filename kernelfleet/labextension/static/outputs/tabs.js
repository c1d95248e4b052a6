/** Tabs as the ARIA practices describe them: arrow keys, Home and End move, and only the chosen tab is a stop of Tab. */

import { make } from '../base/dom.js';

/**
 * @param {Array<{key: string, label: string, failed?: boolean, draw: Function}>} tabs what there is; `draw` makes the
 *     content when it is first looked at
 */
export function tabList(tabs) {
  const bar = make('div.kf-tabs', { role: 'tablist', 'aria-label': 'Outputs by engine' });
  const content = make('div.kf-tab-content', { role: 'tabpanel' });
  const drawn = new Map();

  const choose = index => {
    buttons.forEach((button, i) => {
      button.setAttribute('aria-selected', i === index);
      button.tabIndex = i === index ? 0 : -1;
    });
    const tab = tabs[index];
    if (!drawn.has(tab.key)) {
      drawn.set(tab.key, tab.draw());
    }
    content.replaceChildren(drawn.get(tab.key));
    content.setAttribute('aria-label', tab.label);
  };

  const buttons = tabs.map((tab, index) =>
    make(
      'button.kf-tab',
      { type: 'button', role: 'tab', 'data-kf-tab': tab.key, click: () => choose(index) },
      tab.failed ? `${tab.label} (failed)` : tab.label
    )
  );

  bar.append(...buttons);
  bar.addEventListener('keydown', event => {
    const now = buttons.indexOf(event.target);
    const last = buttons.length - 1;
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: last }[event.key];
    if (now >= 0 && next !== undefined) {
      const index = next < 0 ? last : next > last ? 0 : next;
      choose(index);
      buttons[index].focus();
      event.preventDefault();
      event.stopPropagation(); // the notebook would go to another cell
    }
  });
  choose(0);
  return make('div', {}, bar, content);
}
