/*
 * The one file that JupyterLab itself loads: the container of this extension.
 *
 * JupyterLab expects a webpack "module federation" container under `window._JUPYTERLAB[name]`: `init` gets the table of
 * the modules that JupyterLab shares, `get` returns a promise of a function that returns a module. This file keeps that
 * contract by hand, and hands out ordinary JavaScript modules. So there is nothing to build: the browser loads the files
 * of this folder as they are.
 */
(() => {
  const here = new URL('.', document.currentScript.src);

  const files = {
    './extension': 'extension.js',
    './mimeExtension': 'outputs/mime.js',
    './style': 'style/load.js'
  };

  const container = {
    /** The table of shared modules; `base/shared.js` reads it. */
    scope: null,

    init(scope) {
      container.scope = scope;
    },

    async get(name) {
      const module = await import(new URL(files[name], here));
      // JupyterLab writes a property of its own to what it gets, and the namespace of a module cannot be written to.
      return () => ({ __esModule: true, ...module });
    }
  };

  globalThis._JUPYTERLAB ??= {};
  globalThis._JUPYTERLAB.kernelfleet = container;
})();
