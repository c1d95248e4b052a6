/** What this extension uses of JupyterLab, under the names by which JupyterLab exports it. */

import { shared } from './shared.js';

const NAMES = [
  '@jupyterlab/application', '@jupyterlab/apputils', '@jupyterlab/coreutils', '@jupyterlab/docmanager',
  '@jupyterlab/filebrowser', '@jupyterlab/launcher', '@jupyterlab/notebook', '@jupyterlab/running',
  '@jupyterlab/services', '@jupyterlab/statusbar', '@jupyterlab/ui-components', '@jupyter-notebook/application',
  '@jupyter-notebook/tree', '@lumino/coreutils', '@lumino/disposable', '@lumino/signaling', '@lumino/widgets'
];

// All at once, because each may be a file that the browser has yet to fetch.
const found = await Promise.all(NAMES.map(shared));

/** The exports of a shared module; none if this JupyterLab or Notebook does not have it. */
const from = name => found[NAMES.indexOf(name)] ?? {};

export const { ILabShell, ILayoutRestorer } = from('@jupyterlab/application');
export const {
  Clipboard, Dialog, ICommandPalette, InputDialog, MainAreaWidget, Notification, showDialog, showErrorMessage
} = from('@jupyterlab/apputils');
export const { URLExt } = from('@jupyterlab/coreutils');
export const { IDefaultFileBrowser } = from('@jupyterlab/filebrowser');
export const { ILauncher } = from('@jupyterlab/launcher');
export const { INotebookTracker, NotebookActions } = from('@jupyterlab/notebook');
export const { IRunningSessionManagers } = from('@jupyterlab/running');
export const { ServerConnection, SessionAPI } = from('@jupyterlab/services');
export const { IStatusBar } = from('@jupyterlab/statusbar');
export const {
  LabIcon, addIcon, caretDownIcon, caretRightIcon, closeIcon, codeIcon, consoleIcon, editIcon, listIcon, notebookIcon,
  refreshIcon, stopIcon
} = from('@jupyterlab/ui-components');
export const { INotebookPathOpener } = from('@jupyter-notebook/application');
export const { INotebookTree } = from('@jupyter-notebook/tree');
export const { Token, UUID } = from('@lumino/coreutils');
export const { DisposableDelegate } = from('@lumino/disposable');
export const { Signal } = from('@lumino/signaling');
export const { Widget } = from('@lumino/widgets');
