import type { JSX } from "preact";

/** Icons are drawn on a 24-unit grid with round ends; they are decoration beside a label, never the label itself. */
function icon(...paths: string[]): () => JSX.Element {
  return () => (
    <svg class="icon" viewBox="0 0 24 24" width="24" height="24" fill="none" aria-hidden="true" focusable="false">
      {paths.map((d) => (
        <path key={d} d={d} stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" />
      ))}
    </svg>
  );
}

export const Mic = icon("M12 3.5a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0v-5a3 3 0 0 1 3-3Z", "M5.5 11a6.5 6.5 0 0 0 13 0", "M12 17.5v3");
export const MicOff = icon("M9 9.2v2.3a3 3 0 0 0 4.6 2.5", "M15 11V6.500a3 3 0 0 0-5.700-1.300", "M5.500 11a6.500 6.500 0 0 0 10.300 5.300", "M18.500 11a6.500 6.500 0 0 1-.600 2.700", "M12 17.500v3", "M4 4l16 16");
export const Hand = icon("M8 12.500V6.200a1.400 1.400 0 0 1 2.800 0v5", "M10.800 11V4.700a1.400 1.400 0 0 1 2.800 0V11", "M13.600 11.200V6a1.400 1.400 0 0 1 2.800 0v8.500c0 3.600-2 6-5.200 6-2.400 0-3.800-1-5-3l-2.100-3.700a1.400 1.400 0 0 1 2.400-1.400L8 14");
export const HandDown = icon("M8 12.500V8", "M10.800 11V7", "M13.600 11.200V8", "M16.400 9v5.500c0 3.600-2 6-5.200 6-2.400 0-3.800-1-5-3l-2.100-3.700a1.400 1.400 0 0 1 2.400-1.400L8 14", "M12 1.500v4M10 4l2 2 2-2");
export const Back = icon("M14.500 5.500 8 12l6.500 6.500");
export const Share = icon("M12 14.500V3.500", "M8 7l4-4 4 4", "M5.500 12v6a2 2 0 0 0 2 2h9a2 2 0 0 0 2-2v-6");
export const Sliders = icon("M4 7.500h9", "M17 7.500h3", "M15 5.500v4", "M4 16.500h3", "M11 16.500h9", "M9 14.500v4");
export const Door = icon("M10 4.500H6.500a1.500 1.500 0 0 0-1.500 1.500v12a1.500 1.500 0 0 0 1.500 1.500H10", "M14.500 8l4 4-4 4", "M18.500 12H10");
export const Check = icon("M5 12.500l4.500 4.500L19 7.500");
export const Cross = icon("M6.500 6.500l11 11", "M17.500 6.500l-11 11");
export const Play = icon("M8 5.200v13.600a.6.6 0 0 0 .9.500l10.600-6.800a.6.6 0 0 0 0-1L8.900 4.700a.6.6 0 0 0-.9.500Z");
export const Steps = icon("M4 18.500h5v-4h5v-4h5", "M13.500 5l5.500 0", "M16 2.500 13.500 5 16 7.500");
export const Plus = icon("M12 5v14", "M5 12h14");
export const Again = icon("M19 12a7 7 0 1 1-2-4.900", "M19.500 3.500v4h-4");
export const Stop = icon("M7 7h10v10H7z");
