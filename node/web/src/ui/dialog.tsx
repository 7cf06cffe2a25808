import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { text } from "../text/text.ts";
import { Cross } from "./icons.tsx";
import { Notes } from "./notes.tsx";

/**
 * Dialog is the browser's own modal dialog: it holds the focus, gives it back, and closes on Escape; a tap beside it closes
 * it too.
 */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const here = useRef(true);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    dialog?.querySelector<HTMLElement>(".field input")?.focus(); // a form is for typing; elsewhere the browser chooses
    return () => {
      here.current = false; // what is said of the closing comes later, when another sheet may be open
      dialog?.close();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class="sheet"
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClose={() => here.current && close()} // a browser may close it without asking
      onClick={(event) => {
        if (event.target === element.current) close();
      }}
    >
      <div class="sheet-body">
        <header class="sheet-head">
          <h2 id={id}>{title}</h2>
          <button type="button" class="round quiet" aria-label={text.person.close} onClick={close}>
            <Cross />
          </button>
        </header>
        {children}
        {/* While a modal dialog is open, the page behind it is neither seen nor said. */}
        <div role="status">
          <Notes />
        </div>
      </div>
    </dialog>
  );
}
