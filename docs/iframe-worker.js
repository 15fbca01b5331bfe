// A browser starts no worker for a page that lies on a disk (file:), and the search is one. There it runs
// in a hidden frame instead, which speaks as a worker does. The theme's search asks for this name.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      this.inside = frame.contentWindow;
      this.inside.document.open();
      this.inside.postMessage = (data) =>
        this.dispatchEvent(new MessageEvent("message", { data }));
      this.ready = new Promise((done) => {
        this.inside.workerIsThere = done;
      });
      const script = `<script src="${url}" onload="workerIsThere()"></` + "script>";
      this.inside.document.write(`<!doctype html><body>${script}</body>`);
      this.inside.document.close();
    }

    postMessage(data) {
      this.ready.then(() =>
        this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data })),
      );
    }

    terminate() {
      this.inside.frameElement.remove();
    }
  };
}
