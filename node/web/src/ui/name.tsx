import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { text } from "../text/text.ts";
import { useApp, useStore } from "./hooks.ts";

/** Longest name, as the API has it. */
export const nameMax = 60;

/** NameField asks who somebody is, or says it where that is known. `value` and `change` belong to the form around it. */
export function NameField({ value, change }: { value: string; change: (name: string) => void }): JSX.Element {
  const app = useApp();
  const { identity, door } = useStore(app.state);
  if (identity) {
    return (
      <p class="as-whom">
        {text.name.as({ name: identity.name })}
        <button type="button" class="link" onClick={() => app.forget()}>
          {text.name.change}
        </button>
      </p>
    );
  }
  const signIn = door?.signIn && (
    <a class="plain sign-in" href={app.signIn}>
      {text.name.signIn}
    </a>
  );
  if (signIn && !door.guests) {
    return (
      <p class="field">
        <span class="soft">{text.name.accounts}</span>
        {signIn}
      </p>
    );
  }
  const field = (
    <label class="field">
      <span>{text.name.label}</span>
      <input
        name="name"
        autocomplete="nickname"
        required
        maxLength={nameMax}
        placeholder={text.name.placeholder}
        value={value}
        onInput={(event) => change(event.currentTarget.value)}
      />
    </label>
  );
  return (
    <>
      {field}
      {signIn}
    </>
  );
}

/** useName is the state of a NameField: starts with what the person was called the last time. */
export function useName(): [string, (name: string) => void] {
  return useState(useApp().lastName);
}
