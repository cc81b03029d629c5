// Talking to the server.

async function answer(response) {
  if (response.ok) return response;
  let text = await response.text();
  try {
    const { detail } = JSON.parse(text);
    text = typeof detail === "string" ? detail : "the server did not understand that";
  } catch { /* plain text */ }
  throw new Error(text || response.statusText);
}

export const json = async (path) => (await answer(await fetch(path))).json();
export const floats = async (path) => new Float32Array(await (await answer(await fetch(path))).arrayBuffer());
export const post = async (path, body) => answer(await fetch(path, { method: "POST", body: body ?? "" }));

export function pictureOf(id, name, stretch = 1, softening = 3) {
  return `/api/galaxy/${id}/picture/${encodeURIComponent(name)}.png?stretch=${stretch}&softening=${softening}`;
}

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
