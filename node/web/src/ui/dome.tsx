import type { JSX } from "preact";

/** One coffer of the dome: a ring's segment between two radii, narrowed a little so that the ribs show. */
function coffer(inner: number, outer: number, from: number, to: number): string {
  const point = (radius: number, angle: number) => `${(radius * Math.cos(angle)).toFixed(1)} ${(radius * Math.sin(angle)).toFixed(1)}`;
  return `M${point(inner, from)}A${inner} ${inner} 0 0 1 ${point(inner, to)}L${point(outer, to)}A${outer} ${outer} 0 0 0 ${point(outer, from)}Z`;
}

/** The rings of coffers, from the oculus outwards; they grow as they do for somebody who looks up from the floor. */
const rings = [
  [52, 74],
  [82, 112],
  [122, 160],
  [172, 218],
  [232, 286],
] as const;
const segments = 28;
const gap = 0.18; // of a segment: the rib

const coffers = rings.map(([inner, outer]) => {
  const width = (2 * Math.PI) / segments;
  return Array.from({ length: segments }, (_, i) => coffer(inner, outer, i * width + (gap * width) / 2, (i + 1) * width - (gap * width) / 2)).join("");
});

/** Dome is the coffered ceiling with its oculus, seen from below. `lit` lets more light in: somebody is speaking. */
export function Dome({ lit = false }: { lit?: boolean }): JSX.Element {
  return (
    <svg class={lit ? "dome lit" : "dome"} viewBox="-300 -300 600 600" aria-hidden="true" focusable="false">
      <circle class="oculus-glow" r="150" />
      {coffers.map((d, i) => (
        <path key={i} class={`coffers ring-${i}`} d={d} />
      ))}
      <circle class="oculus" r="44" />
    </svg>
  );
}

/** Mark is the dome made small: the product's sign. */
export function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="32" height="32" aria-hidden="true" focusable="false">
      <circle class="mark-wall" cx="16" cy="16" r="15" />
      <path class="mark-coffers" d={coffersOfMark} transform="translate(16 16)" />
      <circle class="mark-oculus" cx="16" cy="16" r="4.2" />
    </svg>
  );
}

const coffersOfMark = [
  [6.2, 8.6],
  [9.8, 13],
]
  .map(([inner, outer]) => {
    const width = (2 * Math.PI) / 10;
    return Array.from({ length: 10 }, (_, i) => coffer(inner ?? 0, outer ?? 0, i * width + 0.1, (i + 1) * width - 0.1)).join("");
  })
  .join("");
