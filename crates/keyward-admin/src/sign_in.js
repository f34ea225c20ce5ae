"use strict";
const first = location.hash === "#first";
const element = (id) => document.getElementById(id);
for (const id of ["first", "one-time-label", "one-time"]) element(id).hidden = !first;
if (first) {
  element("provider")?.remove();
  element("password").autocomplete = "new-password";
  element("password").minLength = 12;
}
element("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = element("said");
  said.textContent = "…";
  const body = { name: element("name").value, password: element("password").value };
  if (first) body.one_time_password = element("one-time").value;
  try {
    const answer = await fetch(first ? "/v1/bootstrap" : "/v1/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const told = await answer.json();
    if (answer.ok) {
      location.assign("/docs");
    } else {
      said.textContent = (told.problems || []).map((problem) => problem.message).join("; ") || told.title;
    }
  } catch (error) {
    said.textContent = "The node does not answer: " + error;
  }
});
