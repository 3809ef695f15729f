/* Signing in: over whatever page is open, which stays as it was. */

import { adopt, get, post } from "./api.js";
import { h } from "./dom.js";

const KEY = "channeld-signed-in"; // no secret: whether it is worth asking who we are

function remember(isIn) {
  try {
    if (isIn) localStorage.setItem(KEY, "1");
    else localStorage.removeItem(KEY);
  } catch {
    // a browser that keeps nothing asks each time
  }
}

function wasIn() {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return true;
  }
}

/** Who is signed in already; null for nobody. Raises Unreachable. */
export async function present() {
  if (!wasIn()) return null;
  try {
    return await get("/api/v1/session", { quiet: true });
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      remember(false);
      return null;
    }
    throw error;
  }
}

/** Ask for the token until it is right. */
export function signIn(reason = "") {
  return new Promise((resolve) => {
    const token = h("input", {
      id: "token", type: "password", name: "token", required: true, autocomplete: "current-password", spellcheck: "false", "aria-describedby": "sign-in-problem",
    });
    const problem = h("p", { id: "sign-in-problem", class: "form-problem", role: "alert", text: reason });
    const go = h("button", { type: "submit", class: "button primary", text: "Sign in" });
    const form = h(
      "form",
      { class: "sign-in-form" },
      h("p", { class: "wordmark big", text: "channeld" }),
      h("label", { for: "token", text: "Token" }),
      token,
      problem,
      go,
      h("p", { class: "hint", text: "The first one is in admin.token of the daemon's state folder; `channeld token add` makes others." }),
    );
    const place = h("dialog", { class: "sign-in", "aria-label": "Sign in" }, form);
    place.addEventListener("cancel", (event) => event.preventDefault());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      try {
        adopt(await post("/api/v1/session", { token: token.value.trim() }, { quiet: true }));
        remember(true);
        place.remove();
        resolve();
      } catch (error) {
        problem.textContent = error.message;
        token.select();
        token.focus();
      } finally {
        go.disabled = false;
      }
    });
    document.body.append(place);
    place.showModal();
    token.focus();
  });
}
