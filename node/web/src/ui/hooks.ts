import { createContext } from "preact";
import { useContext, useEffect, useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import type { App } from "../app.ts";
import type { Store } from "../core/store.ts";

/** AppContext carries the page's services to every component. */
export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("no App above this component");
  return app;
}

/** useStore renders again whenever the store changes. */
export function useStore<T extends object>(store: Store<T>): T {
  const [, again] = useReducer((n: number) => n + 1, 0);
  const shown = useRef(store.value);
  shown.current = store.value;
  useLayoutEffect(() => {
    if (shown.current !== store.value) again(undefined); // it changed between rendering and now
    return store.subscribe(() => again(undefined));
  }, [store]);
  return store.value;
}

/** useBusy is a button's own waiting state: run does the work once, and busy is true until it is done. */
export function useBusy(): [busy: boolean, run: (work: () => Promise<unknown>) => Promise<boolean>] {
  const app = useApp();
  const [busy, setBusy] = useState(false);
  const here = useRef(true);
  useEffect(() => {
    here.current = true;
    return () => {
      here.current = false;
    };
  }, []);
  const run = async (work: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    const done = await app.attempt(work);
    if (here.current) setBusy(false);
    return done;
  };
  return [busy, run];
}

/** useTitle names the page, which is what a screen reader says on arrival. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}

/** useNow is the time, again every interval milliseconds. */
export function useNow(interval: number): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), interval);
    return () => clearInterval(timer);
  }, [interval]);
  return now;
}
