// The file of an image goes to the server as it is; everything else on the page is NiceGUI's.
function say(text) {
  document.getElementById("status").dispatchEvent(new CustomEvent("said", { detail: text }));
}
async function send(file) {
  const most = Number(document.getElementById("file").dataset.most);
  if (file.size > most) return say(`${file.name}: more than ${most / 1e6} MB; make it smaller`);
  say(`Reading ${file.name} …`);
  try {
    const answer = await fetch(`/upload/${window.clientId}`, {
      method: "POST",
      body: file,
      headers: { "x-name": encodeURIComponent(file.name), "content-type": "application/octet-stream" },
    });
    say((await answer.text()).trim());
  } catch {
    say(`${file.name}: the server did not take it; is it still running?`);
  }
}
function zero() {
  for (const slider of document.querySelectorAll("input[type=range]")) slider.value = 0;
}
document.addEventListener("change", (event) => {
  if (event.target.id !== "file" || !event.target.files.length) return;
  send(event.target.files[0]);
  event.target.value = "";
});
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // a file dropped beside the zone does not replace the page
    const over = Boolean(event.target.closest?.("#drop"));
    document.getElementById("drop")?.classList.toggle("over", over && kind === "dragover");
    if (kind === "drop" && over && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
}
