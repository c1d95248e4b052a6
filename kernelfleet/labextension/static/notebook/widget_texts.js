/**
 * The text of engines' widgets, where the widgets themselves are gone.
 *
 * A view of a widget whose model is not there is an error message (ipywidgets 8), and nothing at all once its model has
 * been closed. That is how a saved notebook looks when it is opened again. What kernelfleet shows says in its metadata that
 * it is a view of engines' widgets, and has their text beside it.
 */

import { make } from '../base/dom.js';

const MISSING = /^Error displaying widget/;

/** Whether a display shows widgets of engines. */
export function showsWidgets(metadata) {
  return metadata?.kernelfleet === 'widgets';
}

/** Whether there is nothing to be seen where a view should be. */
export function isMissing(node) {
  const others = [...node.childNodes].filter(child => !child.classList?.contains('kf-widget-text'));
  const text = others.map(child => child.textContent).join('').trim();
  return others.every(child => child.nodeType === Node.TEXT_NODE) && (text === '' || MISSING.test(text));
}

/** Put the text there, or take it away. */
export function complete(node, text) {
  const shown = node.querySelector(':scope > .kf-widget-text');
  if (!isMissing(node)) {
    shown?.remove();
  } else if (!shown) {
    node.classList.remove('lm-mod-hidden'); // (ipywidgets hides a view whose model was closed)
    node.replaceChildren(make('pre.kf-widget-text', {}, text));
  }
}

/** The outputs of a cell that show widgets of engines: node and text of each. */
function* views(area) {
  for (let i = 0; i < area.model.length; i++) {
    const output = area.model.get(i);
    if (showsWidgets(output.metadata)) {
      const node = area.widgets[i]?.node.querySelector('.jp-OutputArea-output');
      const text = output.data['text/plain'] ?? '';
      yield [node, Array.isArray(text) ? text.join('') : String(text)];
    }
  }
}

/** Watch a notebook from now on. */
export function watchNotebook(panel) {
  const look = () => {
    for (const cell of panel.content.widgets) {
      if (cell.outputArea) {
        for (const [node, text] of views(cell.outputArea)) {
          if (node) {
            complete(node, text);
          }
        }
      }
    }
  };
  let due = 0;
  const observer = new MutationObserver(mutations => {
    const matters = mutations.some(({ target }) => target.closest?.('.jp-OutputArea'));
    if (matters && !due) {
      due = setTimeout(() => {
        due = 0;
        look();
      }, 200);
    }
  });
  observer.observe(panel.content.node, { childList: true, subtree: true });
  panel.disposed.connect(() => {
    observer.disconnect();
    clearTimeout(due);
  });
}
