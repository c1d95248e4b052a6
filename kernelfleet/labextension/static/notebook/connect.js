/** Inserting a cell that connects a notebook to a fleet. */

import { NotebookActions } from '../base/lab.js';

/**
 * Put code into the active cell of the current notebook if that is empty, else into a new cell below; without a notebook,
 * into a new one. The user runs it.
 */
export async function insertConnectCell(app, tracker, code) {
  const panel = tracker?.currentWidget ?? (await app.commands.execute('notebook:create-new', {}));
  if (!panel?.content) {
    throw new Error(`Open a notebook first, or put this into a cell yourself: ${code}`);
  }
  await panel.context.ready;
  const notebook = panel.content;
  const { activeCell } = notebook;
  if (activeCell?.model.type !== 'code' || activeCell.model.sharedModel.getSource().trim()) {
    NotebookActions.insertBelow(notebook);
  }
  notebook.activeCell.model.sharedModel.setSource(code);
  app.shell.activateById(panel.id);
  notebook.scrollToItem?.(notebook.activeCellIndex);
}
