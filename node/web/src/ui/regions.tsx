import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Regions } from "../room/kept.ts";
import { text } from "../text/text.ts";
import { useApp } from "./hooks.ts";

/** Most regions of a room, as the API has it. */
const regionsMax = 16;

/** useRegions asks for the regions. null: there is no choice, or no answer; the room may then be anywhere. */
export function useRegions(): Regions | null {
  const app = useApp();
  const [regions, setRegions] = useState<Regions | null>(null);
  useEffect(() => {
    let here = true;
    app.api.regions().then(
      ({ own, regions }) => here && setRegions({ own, regions: regions.filter(({ nodes }) => nodes > 0) }),
      () => undefined,
    );
    return () => {
      here = false;
    };
  }, []);
  return regions && regions.regions.length > 1 ? regions : null;
}

/** RegionsField lets a host keep a room in some regions. chosen is null while it may be anywhere. */
export function RegionsField({ regions, chosen, choose }: { regions: Regions; chosen: readonly string[] | null; choose: (chosen: string[] | null) => void }): JSX.Element {
  const first = regions.regions.some(({ region }) => region === regions.own) ? [regions.own] : [];
  return (
    <fieldset class="choice">
      <legend>{text.create.where}</legend>
      <label class="check">
        <input type="radio" name="where" checked={chosen === null} onChange={() => choose(null)} />
        <span>{text.create.anywhere}</span>
      </label>
      <label class="check">
        <input type="radio" name="where" checked={chosen !== null} onChange={() => choose(first)} />
        <span>
          {text.create.within}
          <small class="soft">{text.create.withinLead}</small>
        </span>
      </label>
      {chosen && (
        <div class="regions" role="group" aria-label={text.create.within}>
          {regions.regions.map(({ region }) => (
            <label key={region} class="check">
              <input
                type="checkbox"
                checked={chosen.includes(region)}
                required={chosen.length === 0}
                disabled={chosen.length >= regionsMax && !chosen.includes(region)}
                onChange={(event) => choose(event.currentTarget.checked ? [...chosen, region].sort() : chosen.filter((each) => each !== region))}
              />
              <bdi>{region}</bdi>
            </label>
          ))}
        </div>
      )}
    </fieldset>
  );
}
