/** Puts the choice "Engines" into the toolbar of every notebook. */

import { NotebookActions } from '../base/lab.js';
import { EnginesChoice } from '../notebook/toolbar_item.js';
import { IFleets } from './token.js';

export const toolbarPlugin = {
  id: 'kernelfleet:toolbar',
  description: 'A choice in the toolbar of notebooks: on which engines all cells run.',
  autoStart: true,
  requires: [IFleets],
  activate: (app, { fleets }) => {
    const choices = new WeakMap();
    app.docRegistry.addWidgetExtension('Notebook', {
      createNew: panel => {
        const choice = new EnginesChoice(panel, fleets);
        choices.set(panel.content, choice);
        // Behind the type of the cell, where there is such an item.
        if (!panel.toolbar.insertAfter('cellType', 'kernelfleet-engines', choice)) {
          panel.toolbar.addItem('kernelfleet-engines', choice);
        }
        return choice;
      }
    });
    NotebookActions.executed.connect((_, { notebook, cell }) => {
      choices.get(notebook)?.cellHasRun(cell.model.sharedModel.getSource()).catch(() => null);
    });
  }
};
