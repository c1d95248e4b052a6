/** Has the text of engines' widgets stand in notebooks where the widgets are gone. */

import { INotebookTracker } from '../base/lab.js';
import { watchNotebook } from '../notebook/widget_texts.js';

export const widgetsPlugin = {
  id: 'kernelfleet:widgets',
  description: 'The text of widgets of engines, where a saved notebook has nothing else of them.',
  autoStart: true,
  requires: [INotebookTracker],
  activate: (_, notebooks) => {
    notebooks.forEach(watchNotebook);
    notebooks.widgetAdded.connect((_tracker, panel) => watchNotebook(panel));
  }
};
