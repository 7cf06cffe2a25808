import type { JSX } from "preact";

/** Icons are drawn on a 24-unit grid with round ends; they are decoration beside a label, never the label itself. */
function icon(...paths: string[]): () => JSX.Element {
  return drawn("icon", paths);
}

/** ahead is an icon that points along the line of the text: it turns around where that runs from right to left. */
function ahead(...paths: string[]): () => JSX.Element {
  return drawn("icon ahead", paths);
}

function drawn(kind: string, paths: string[]): () => JSX.Element {
  return () => (
    <svg class={kind} viewBox="0 0 24 24" width="24" height="24" fill="none" aria-hidden="true" focusable="false">
      {paths.map((d) => (
        <path key={d} d={d} stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" />
      ))}
    </svg>
  );
}

export const Mic = icon("M12 3.5a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0v-5a3 3 0 0 1 3-3Z", "M5.5 11a6.5 6.5 0 0 0 13 0", "M12 17.5v3");
export const MicOff = icon("M9 9.2v2.3a3 3 0 0 0 4.6 2.5", "M15 11V6.5a3 3 0 0 0-5.7-1.3", "M5.5 11a6.5 6.5 0 0 0 10.3 5.3", "M18.5 11a6.5 6.5 0 0 1-.6 2.7", "M12 17.5v3", "M4 4l16 16");
export const Hand = icon("M8 12.5V6.2a1.4 1.4 0 0 1 2.8 0v5", "M10.8 11V4.7a1.4 1.4 0 0 1 2.8 0V11", "M13.6 11.2V6a1.4 1.4 0 0 1 2.8 0v8.5c0 3.6-2 6-5.2 6-2.4 0-3.8-1-5-3l-2.1-3.7a1.4 1.4 0 0 1 2.4-1.4L8 14");
export const HandDown = icon("M8 12.5V8", "M10.8 11V7", "M13.6 11.2V8", "M16.4 9v5.5c0 3.6-2 6-5.2 6-2.4 0-3.8-1-5-3l-2.1-3.7a1.4 1.4 0 0 1 2.4-1.4L8 14", "M12 1.5v4M10 4l2 2 2-2");
export const Back = ahead("M14.5 5.5 8 12l6.5 6.5");
export const Share = icon("M12 14.5V3.5", "M8 7l4-4 4 4", "M5.5 12v6a2 2 0 0 0 2 2h9a2 2 0 0 0 2-2v-6");
export const Sliders = icon("M4 7.5h9", "M17 7.5h3", "M15 5.5v4", "M4 16.5h3", "M11 16.5h9", "M9 14.5v4");
export const Door = ahead("M10 4.5H6.5a1.5 1.5 0 0 0-1.5 1.5v12a1.5 1.5 0 0 0 1.5 1.5H10", "M14.5 8l4 4-4 4", "M18.5 12H10");
export const Check = icon("M5 12.5l4.5 4.5L19 7.5");
export const Cross = icon("M6.5 6.5l11 11", "M17.5 6.5l-11 11");
export const Play = icon("M8 5.2v13.6a.6.6 0 0 0 .9.5l10.6-6.8a.6.6 0 0 0 0-1L8.9 4.7a.6.6 0 0 0-.9.5Z");
export const Steps = ahead("M4 5.5h5v4.5h5v4.5h5", "M6.5 12v7", "M3.7 16.2l2.8 2.8 2.8-2.8");
export const Plus = icon("M12 5v14", "M5 12h14");
export const Again = icon("M19 12a7 7 0 1 1-2-4.9", "M19.5 3.5v4h-4");
export const Stop = icon("M7 7h10v10H7z");
export const Copy = icon("M9 9.5h8.5a1.5 1.5 0 0 1 1.5 1.5v8a1.5 1.5 0 0 1-1.5 1.5H10A1.5 1.5 0 0 1 8.5 19v-9.5Z", "M5.5 14.5V5A1.5 1.5 0 0 1 7 3.5h8");
export const Flag = icon("M6 20.5V4", "M6 4.5h11l-2.5 4 2.5 4H6");
export const Smile = icon("M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17Z", "M8.5 14.200a4.200 4.200 0 0 0 7 0", "M9 9.5v.6", "M15 9.5v.6");
export const More = icon(...[5.5, 12, 18.5].map((x) => `M${x - 0.6} 12a.6.6 0 1 0 1.2 0a.6.6 0 1 0-1.2 0`));
export const Calendar = icon("M5 6.5h14v13H5z", "M5 10.5h14", "M8.5 4v4", "M15.5 4v4");
export const Lock = icon("M6.5 10.5h11v9h-11z", "M9 10.5V7.5a3 3 0 0 1 6 0v3");
export const Pencil = icon("M5 19l1-4L16 5l3 3L9 18l-4 1Z", "M14 7l3 3");
