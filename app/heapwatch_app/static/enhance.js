// Comfort on top of pages that work without it: likes without a reload, a preview, a question before deleting.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  if (!form.matches("form.like")) return;
  event.preventDefault();
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { "X-Requested-With": "fetch" },
    });
    if (answer.redirected || !answer.ok) throw new Error(answer.statusText);
    form.outerHTML = await answer.text();
  } catch {
    form.submit();
  }
});

document.addEventListener("change", (event) => {
  const preview = document.getElementById(event.target.dataset.preview);
  const file = event.target.files?.[0];
  if (!preview) return;
  URL.revokeObjectURL(preview.src);
  preview.hidden = !file;
  if (file) preview.src = URL.createObjectURL(file);
});
