// Everything that is asked of the server.

export class ServerError extends Error {
  constructor(status, message, wait) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

let login = null;

/** What to do when a token is needed: a function that gives a promise of having one. */
export const onLogin = (ask) => { login = ask; };

const explain = (status, body) => {
  try {
    return JSON.parse(body).error || `The server answered ${status}.`;
  } catch {
    return `The server answered ${status}.`;
  }
};

const UNREACHABLE = "The server cannot be reached. Is gerund serve still running?";

export const ask = async (path, options = {}) => {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new ServerError(0, UNREACHABLE);
  }
  if (answer.status === 401 && login && path !== "/v1/session") {
    await login();
    return ask(path, options);
  }
  if (!answer.ok) throw new ServerError(answer.status, explain(answer.status, await answer.text()));
  return answer;
};

/** Send a file as a job; `progress` hears the share that is sent. Resolves to the job; `signal` ends the upload. */
export const upload = (file, name, progress, signal) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/jobs");
    request.setRequestHeader("X-Video-Name", encodeURIComponent(name));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress(event.loaded / Math.max(event.total, 1));
    request.onload = () => {
      if (request.status === 202) resolve(JSON.parse(request.responseText));
      else reject(new ServerError(request.status, explain(request.status, request.responseText), Number(request.getResponseHeader("Retry-After"))));
    };
    request.onerror = () => reject(new ServerError(0, UNREACHABLE));
    request.onabort = () => reject(new DOMException("ended", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });

/** Follow a job to its end; `changed` hears of each change. */
export const follow = (id, changed, signal) =>
  new Promise((resolve, reject) => {
    const events = new EventSource(`/v1/jobs/${id}/events`);
    const end = (settle, value) => { events.close(); settle(value); };
    events.onmessage = (event) => {
      const job = JSON.parse(event.data);
      changed(job);
      if (["done", "failed", "cancelled"].includes(job.state)) end(resolve, job);
    };
    events.onerror = async () => {
      if (events.readyState !== EventSource.CLOSED) return; // it tries again by itself
      end(reject, new ServerError(0, UNREACHABLE));
    };
    signal.addEventListener("abort", () => end(reject, new DOMException("ended", "AbortError")));
  });

export const remove = (id) => fetch(`/v1/jobs/${id}`, { method: "DELETE", keepalive: true }).catch(() => undefined);
